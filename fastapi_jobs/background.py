"""`BackgroundJobs`: the durable drop-in for FastAPI's `BackgroundTasks`."""

from collections.abc import AsyncIterator
from typing import Annotated, ParamSpec, TypeVar
from uuid import UUID

from fastapi import Depends

from fastapi_jobs.api.problems import problem_of
from fastapi_jobs.current import current_runtime
from fastapi_jobs.enqueueing import announce, new_job, run_immediate, store_one
from fastapi_jobs.errors import FastAPIJobsError, InvalidOption
from fastapi_jobs.in_session import refuse_deadlock
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store.rows import NewJob
from fastapi_jobs.tasks import Task
from fastapi_jobs.using import Using

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")


class CollectedJobs:
    """The jobs of one request, until its endpoint has returned."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._jobs: list[tuple[TaskDefinition, NewJob]] = []
        self._is_over = False

    def add_task(self, task: Task[P, R, C], /, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Take a job of `task`, or of `task.using(...)`, and return its id.

        It is stored, with all others of this request, when the endpoint has returned and before
        the response starts; not at all if the endpoint raises. A unique task whose key is held
        stores nothing under this id.

        Raises:
            InvalidArguments, InvalidOption, PayloadTooLarge: at once; nothing was taken.
        """
        if not isinstance(task, Task):
            rule = "BackgroundJobs takes tasks. Mark the function with @task."
            raise InvalidOption("add_task", task, rule)
        if self._is_over:
            rule = "the endpoint has returned and its jobs are stored. Use task.enqueue()."
            raise InvalidOption("add_task", task.name, rule)
        signature = task.s(*args, **kwargs)
        runtime = self._runtime_of(signature.using)
        job = new_job(
            runtime, signature.definition, signature.using, signature.args, signature.kwargs
        )
        self._runtime = runtime
        self._jobs.append((signature.definition, job))
        return job.id

    def _runtime_of(self, using: Using) -> Runtime:
        if using.session is not None:
            rule = "BackgroundJobs commits by itself. Use task.using(session=...).enqueue()."
            raise InvalidOption("session", using.session, rule)
        runtime = using.runtime or current_runtime()
        if self._runtime not in (None, runtime):
            rule = "all jobs of one request are committed together, so by one FastAPIJobs."
            raise InvalidOption("app", runtime.name, rule)
        return runtime

    async def commit(self) -> None:
        """Store all of them in one transaction.

        Raises:
            EnqueueError, StoreUnavailable: none was stored.
        """
        self._is_over = True
        if self._runtime is None:
            return
        refuse_deadlock(self._runtime)
        if len(self._jobs) == 1:
            [(definition, job)] = self._jobs
            await store_one(self._runtime, definition, job)
            return
        await self._commit_many(self._runtime)

    async def _commit_many(self, runtime: Runtime) -> None:
        jobs = [job for _, job in self._jobs]
        inserted = await runtime.insert_many(jobs)
        announce(runtime, jobs, inserted)
        await run_immediate(runtime, jobs, inserted)


async def _collect() -> AsyncIterator[CollectedJobs]:
    collected = CollectedJobs()
    yield collected
    try:
        await collected.commit()
    except FastAPIJobsError as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from error


BackgroundJobs = Annotated[CollectedJobs, Depends(_collect, scope="function")]
"""A parameter of this type collects jobs that are stored before the response starts."""
