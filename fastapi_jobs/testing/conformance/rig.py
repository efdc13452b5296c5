"""What a backend is tried on: a started app, on an event loop in a thread of its own."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.conf import load
from fastapi_jobs.current import announce
from fastapi_jobs.handle import Job, get_job
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.both import AnyTask
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate

T = TypeVar("T")

QUICK: Mapping[str, Any] = {
    "migrate": True,
    "durability": "normal",
    "heartbeat_seconds": 0.5,
    "poll_seconds": 0.05,
    "shutdown_seconds": 0.1,
    "store_timeout": 60,
    "max_crashes": 2,
    # Other processes import them before they get a call, whose timeout that would use up.
    "task_modules": ["fastapi_jobs.testing.conformance.tasks"],
}
"""Settings under which waits are short."""


class BackendRig:
    """One backend at work. Its methods block; jobs run meanwhile, on the loop of the rig."""

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self.runtime, self._loop, self._folder = runtime, loop, folder
        self._numbers = itertools.count()

    @property
    def backend(self) -> Backend:
        """The backend of the started app."""
        return self.runtime.backends[self.runtime.settings.backend]

    def stops(self, task: AnyTask) -> bool:
        """Whether the backend says that it can stop a running job of this task."""
        backend = self.backend
        return backend.stops_async if task.definition.is_async else backend.stops_sync

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on the loop of the app."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(3 * LIMIT)

    def start(self) -> None:
        """Start the app; after a `stop`, again."""
        self.run(self.runtime.start())

    def stop(self) -> int:
        """Shut the app down; how many functions still run although their jobs were given back."""
        return self.run(self.runtime.stop())

    def gate(self) -> Gate:
        """A new gate; `with` it, so that no job waits there for ever."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return Gate(folder)

    # Jobs.

    def enqueue(self, task: AnyTask, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueue for the dispatcher; the immediate backend, too, must not run it right here."""
        here = task.using(app=self.runtime, run_after=0.001)
        return self.run(here.enqueue(*args, **kwargs))

    def at_gate(self, task: AnyTask, gate: Gate) -> Job[Any]:
        """Enqueue a job and wait until it runs."""
        before = len(gate.pids)
        job = self.enqueue(task, str(gate))
        self.run(gate.reached(before + 1))
        return job

    def ended(self, job: Job[Any]) -> Job[Any]:
        """The job once it has finished.

        Raises:
            WaitTimeout: not within LIMIT seconds.
        """
        return self.run(job.wait(LIMIT))

    def result(self, task: AnyTask, *args: Any, **kwargs: Any) -> Any:
        """Enqueue, and wait for what it returns."""
        return self.run(self.enqueue(task, *args, **kwargs).result(LIMIT))

    def look(self, job: Job[Any]) -> Job[Any]:
        """The job as it is now."""
        return self.run(get_job(self.runtime, job.id))

    def cancel(self, job: Job[Any]) -> None:
        """Ask for its end."""
        self.run(job.cancel("enough"))

    def record(self, job: Job[Any]) -> JobRecord:
        """The job's row."""
        record = self.run(self.runtime.store.read(queries.get_job, job.id))
        assert record is not None
        return record

    def attempts(self, job: Job[Any]) -> list[AttemptRecord]:
        """Its attempts, oldest first."""
        return self.run(self.runtime.store.read(queries.get_attempts, job.id))

    def outcomes(self, job: Job[Any]) -> list[AttemptOutcome | None]:
        """How each of its attempts ended."""
        ends = [each.outcome for each in self.attempts(job)]
        return [None if each is None else AttemptOutcome(each) for each in ends]

    def logs(self, job: Job[Any]) -> list[LogRecord]:
        """What it logged."""
        return self.run(self.runtime.store.read(queries.get_logs, job.id))

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fails naming it."""
        end = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < end, f"not within {LIMIT:g} s: {what}"
            time.sleep(0.01)


@contextmanager
def backend_rig(
    backend: str, folder: Path, *, database_url: str | None = None, settings: Mapping[str, Any]
) -> Iterator[BackendRig]:
    """A started app whose jobs run on `backend`, until the block ends."""
    url = database_url or f"sqlite:///{folder / 'jobs.db'}"
    given = {**QUICK, **settings, "backend": backend, "database_url": url}
    runtime = Runtime(load(None, **given), dispatch=True)
    announce(runtime)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="backend-conformance", daemon=True)
    thread.start()
    rig = BackendRig(runtime, loop, folder)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        rig.run(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
        loop.close()
