"""`JobsTest`: what the fixture `jobs_test` gives to a test."""

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, get_args, overload

from fastapi_jobs.backends.event_loop import ImmediateBackend
from fastapi_jobs.errors import InvalidOption, did_you_mean
from fastapi_jobs.handle import job_of
from fastapi_jobs.registry import registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store.whole import get_whole_jobs
from fastapi_jobs.tasks import Task
from fastapi_jobs.testing import running, telling
from fastapi_jobs.testing.clock import Clock
from fastapi_jobs.testing.matching import Wanted
from fastapi_jobs.testing.takeover import RECORDING, Takeover
from fastapi_jobs.testing.values import Drained, EnqueuedJob, Performed
from fastapi_jobs.using import runtime_of

P = ParamSpec("P")
R = TypeVar("R")
Mode = Literal["manual", "immediate"]


class JobsTest:
    """Jobs under test: recorded in a fresh store, run when the test says so.

    Between `with JobsTest(folder):` and its end every FastAPIJobs of the process, there already or
    made meanwhile, keeps its jobs in a SQLite file in `folder` and runs none by itself, whatever
    its settings say. `settings` change theirs: `database_url` for tests with sessions of the
    host's own, for example.

    Raises:
        TooLate: the app was started before.
        SettingsError: a setting is wrong.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = Clock()
        self._takeover = Takeover(folder, settings)
        self._mode: Mode = "manual"
        self._performed: set[Any] = set()

    def __enter__(self) -> "JobsTest":
        self._takeover.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._takeover.end()
        self.clock.reset()

    def use(self, jobs: Any) -> None:
        """Of several FastAPIJobs, this is the one that the test is about.

        Raises:
            InvalidOption: `jobs` is no FastAPIJobs.
            TooLate: it was started before the test.
        """
        self._takeover.use(runtime_of(jobs))

    @property
    def mode(self) -> Mode:
        """`manual`: jobs are recorded and wait for `drain`. `immediate`: a job that is due has run
        when its `enqueue`, or the commit of its session, returns. May be set at any time.
        """
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        known = get_args(Mode)
        if mode not in known:
            rule = f'give "manual" or "immediate".{did_you_mean(str(mode), known)}'
            raise InvalidOption("mode", mode, rule)
        self._mode = mode
        immediate = mode == "immediate"
        self._takeover.run_everything_on(ImmediateBackend.name if immediate else RECORDING)

    # What was enqueued.

    @overload
    def enqueued(self) -> list[EnqueuedJob[Any]]: ...

    @overload
    def enqueued(self, task: Task[..., R, Any]) -> list[EnqueuedJob[R]]: ...

    def enqueued(self, task: Task[..., Any, Any] | None = None) -> list[EnqueuedJob[Any]]:
        """The jobs of `task`, or of all tasks, oldest first; in whatever status they are now.

        Raises:
            SeveralApps: it is not known which FastAPIJobs is meant.
        """
        return self._recorded(self._runtime(task), None if task is None else task.name)

    def _recorded(self, runtime: Runtime, task: str | None = None) -> list[EnqueuedJob[Any]]:
        return [
            EnqueuedJob(
                job=job_of(record, runtime, is_new=True),
                arguments=_arguments(record.task, record.args),
                backend=record.backend or None,
                expires_at=record.expires_at,
                unique_digest=record.unique_key,
            )
            for record in runtime.store.read_sync(get_whole_jobs, task)
            if record.id not in self._performed
        ]

    def assert_enqueued(
        self, task: Task[..., R, Any], /, *args: Any, **kwargs: Any
    ) -> EnqueuedJob[R]:
        """Fail unless a job of `task` was enqueued with these arguments; the newest such job.

        What is given must be equal, what is left out may be anything: `assert_enqueued(task)` is
        any job of it. `task.using(queue="mail", run_after=60)` asks for options too.

        Raises:
            AssertionError: says what was enqueued instead.
            InvalidArguments: `task` does not take these arguments at all.
        """
        __tracebackhide__ = True
        wanted, jobs = self._look(task, args, kwargs)
        matching = [job for job in jobs if not wanted.differences(job)]
        if not matching:
            raise AssertionError(
                telling.not_found(wanted, jobs, self._recorded(self._runtime(task)))
            )
        return matching[-1]

    def assert_not_enqueued(self, task: Task[..., Any, Any], /, *args: Any, **kwargs: Any) -> None:
        """Fail if a job of `task` was enqueued with these arguments; none given: with any.

        Raises:
            AssertionError: says which.
            InvalidArguments: `task` does not take these arguments at all.
        """
        __tracebackhide__ = True
        wanted, jobs = self._look(task, args, kwargs)
        matching = [job for job in jobs if not wanted.differences(job)]
        if matching:
            raise AssertionError(telling.found(wanted, matching))

    def _look(
        self, task: Task[..., R, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Wanted, list[EnqueuedJob[R]]]:
        signature = _checked(task).s(*args, **kwargs)
        arguments = task.definition.arguments.bind_some(args, kwargs)
        return Wanted(task.definition, arguments, signature.using), self.enqueued(task)

    # Running them.

    def drain(
        self, *, scheduled: bool = False, raises: bool = True, at_once: int = 1, limit: int = 1000
    ) -> Coroutine[Any, Any, Drained]:
        """Run what is due, and what that enqueues, until nothing is due; how many and how.

        The steps are those of a worker, on the event loop of the started app or else this one,
        `at_once` jobs at a time (2, if a job waits for another). With `scheduled`, the clock then
        travels to the next scheduled job or retry, until none is left. Paused queues, limits and
        unknown tasks keep their jobs.

        Raises:
            JobsFailed: a job failed for good; not with `raises=False`.
            EndlessDrain: there is more to run after `limit` jobs.
            NeedsEventLoop: this is a sync test: use `drain_sync`.
        """
        running.demand_loop("drain")
        runtime = self._takeover.meant
        options = (scheduled, raises, at_once, limit)
        return running.on_its_loop(runtime, self._drain(runtime, *options))

    def drain_sync(
        self, *, scheduled: bool = False, raises: bool = True, at_once: int = 1, limit: int = 1000
    ) -> Drained:
        """The same, blocking, for sync tests.

        Raises:
            SyncOnLoop: an event loop runs here: use `await drain()`.
        """
        runtime = self._takeover.meant
        options = (scheduled, raises, at_once, limit)
        return running.on_its_loop_sync(runtime, "drain", self._drain(runtime, *options))

    def _drain(
        self, runtime: Runtime, scheduled: bool, raises: bool, at_once: int, limit: int
    ) -> Callable[[], Coroutine[Any, Any, Drained]]:
        return partial(
            running.drain,
            runtime,
            self.clock,
            scheduled=scheduled,
            raises=raises,
            at_once=at_once,
            limit=limit,
        )

    def perform(
        self, task: Task[P, R, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Performed[R]]:
        """Run one attempt of `task` as a worker would, and say how it went; never raises for it.

        Arguments and result go through JSON, the task has its context. Whatever limits, delays or
        unique keys say, it runs now. It counts for nothing that was enqueued; if it is to be
        retried, `drain(scheduled=True)` does that.

        Raises:
            InvalidArguments, PayloadTooLarge: as `enqueue` would.
            NeedsEventLoop: this is a sync test: use `perform_sync`.
        """
        running.demand_loop("perform")
        runtime = self._runtime(_checked(task))
        return running.on_its_loop(runtime, self._perform(runtime, task, args, kwargs))

    def perform_sync(
        self, task: Task[P, R, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Performed[R]:
        """The same, blocking, for sync tests.

        Raises:
            SyncOnLoop: an event loop runs here: use `await perform(...)`.
        """
        runtime = self._runtime(_checked(task))
        work = self._perform(runtime, task, args, kwargs)
        return running.on_its_loop_sync(runtime, "perform", work)

    def _perform(
        self, runtime: Runtime, task: Task[..., R, Any], args: Any, kwargs: Any
    ) -> Callable[[], Coroutine[Any, Any, Performed[R]]]:
        signature = task.s(*args, **kwargs)

        async def work() -> Performed[R]:
            done = await running.perform(runtime, task.definition, signature.using, args, kwargs)
            self._performed.add(done.job.id)
            return done

        return work

    def _runtime(self, task: Task[..., Any, Any] | None) -> Runtime:
        chosen = None if task is None else _checked(task).s().using.runtime
        return chosen or self._takeover.meant


def _checked(task: Task[P, R, Any]) -> Task[P, R, Any]:
    if not isinstance(task, Task):
        raise InvalidOption("task", task, "give a task. Mark the function with @task.")
    return task


def _arguments(task: str, text: str) -> dict[str, Any]:
    definition = registry.get(task)
    return {} if definition is None else definition.arguments.values(text)
