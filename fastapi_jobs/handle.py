"""`Job[R]`: the public value of one job, and what can be asked of it."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from pydantic_core import from_json

from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import (
    JobCancelled,
    JobFailed,
    JobNotFound,
    SyncOnLoop,
    UncommittedJob,
    WaitTimeout,
)
from fastapi_jobs.listing import checked_limit
from fastapi_jobs.logged import LoggedLine, logged_line
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.moves import RequestCancel, RetryJob
from fastapi_jobs.store.rows import Inserted, NewJob

R_co = TypeVar("R_co", covariant=True)

SYNC_LOOK_SECONDS = 0.02
LINES = 200
"""Log lines of one page, where nobody says how many."""


@dataclass(frozen=True, eq=False)
class Job(Generic[R_co]):
    """One job as it was when it was last looked at; `refresh` looks again. Never changes itself.

    Times are aware UTC. `progress` is None or `{"done", "total", "message"}`.
    """

    id: UUID
    task: str
    queue: str
    status: JobStatus
    attempt: int
    is_new: bool
    priority: int
    created_at: datetime
    run_after: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    progress: Mapping[str, Any] | None
    error: str | None
    reason: str | None
    cancel_requested_at: datetime | None
    owner: str | None
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    _runtime: Runtime
    _uncommitted: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id and other.status == self.status

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.status}>"

    async def refresh(self) -> "Job[R_co]":
        """The job as it is now.

        Raises:
            JobNotFound, StoreUnavailable
        """
        return await get_job(self._runtime, self.id)

    def refresh_sync(self) -> "Job[R_co]":
        """The same, blocking."""
        return get_job_sync(self._runtime, self.id)

    async def wait(self, timeout: float | None = None) -> "Job[R_co]":
        """The job once it has finished, however it ended.

        Raises:
            WaitTimeout: it is not finished after `timeout` seconds, or this process is to stop.
            JobNotFound: it was deleted, or its transaction was rolled back.
        """
        return job_of(await self._finished(timeout), self._runtime)

    async def _finished(self, timeout: float | None) -> JobRecord:
        if self._uncommitted and await self._runtime.waiting.status_of(self.id) is None:
            raise UncommittedJob(self.id)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(end - time.monotonic(), 0.0)
            in_time = await self._runtime.waiting.until_finished(self.id, left)
            record = await self._runtime.store.read(queries.get_job, self.id)
            if record is None:
                raise JobNotFound(self.id)
            status = JobStatus(record.status)
            if status.is_final:
                return record
            if not in_time:
                raise self._too_late(timeout, status)

    def wait_sync(self, timeout: float | None = None) -> "Job[R_co]":
        """The same, blocking."""
        refuse_on_loop("wait")
        store = self._runtime.store
        if self._uncommitted and store.read_sync(queries.get_job, self.id) is None:
            raise UncommittedJob(self.id)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            job = self.refresh_sync()
            if job.status.is_final:
                return job
            if not self._runtime.waiting.is_allowed or (
                end is not None and time.monotonic() >= end
            ):
                raise self._too_late(timeout, job.status)
            time.sleep(SYNC_LOOK_SECONDS)

    def _too_late(self, timeout: float | None, status: JobStatus) -> WaitTimeout:
        return WaitTimeout(self.id, timeout if self._runtime.waiting.is_allowed else None, status)

    async def result(self, timeout: float | None = None) -> R_co:
        """What the task returned, once it has; None for a task with `store_result=False`.

        Raises:
            JobFailed, JobCancelled: it ended without a result.
            WaitTimeout: it is not finished after `timeout` seconds.
        """
        return cast(R_co, _result(await self._finished(timeout), self.id))

    def result_sync(self, timeout: float | None = None) -> R_co:
        """The same, blocking."""
        self.wait_sync(timeout)
        record = self._runtime.store.read_sync(queries.get_job, self.id)
        return cast(R_co, _result(record, self.id))

    async def cancel(self, reason: str = "cancelled on request") -> "Job[R_co]":
        """Cancel a waiting job, ask a running one; the job as it is then.

        Raises:
            IllegalMove: it has succeeded or failed.
            JobNotFound
        """
        await self._runtime.store.write(RequestCancel(self.id, utc_now(), reason))
        return await self.refresh()

    def cancel_sync(self, reason: str = "cancelled on request") -> "Job[R_co]":
        """The same, blocking."""
        self._runtime.store.write_sync(RequestCancel(self.id, utc_now(), reason))
        return self.refresh_sync()

    async def retry(self) -> "Job[R_co]":
        """Run a finished job again, with all its retries.

        Raises:
            IllegalMove: it is not finished, or another job holds its unique key.
            JobNotFound
        """
        await self._runtime.store.write(RetryJob(self.id, utc_now()))
        return await self.refresh()

    def retry_sync(self) -> "Job[R_co]":
        """The same, blocking."""
        self._runtime.store.write_sync(RetryJob(self.id, utc_now()))
        return self.refresh_sync()

    async def logs(
        self,
        *,
        attempt: int | None = None,
        after: LoggedLine | None = None,
        limit: int = LINES,
    ) -> list[LoggedLine]:
        """Its log lines, oldest first: of all attempts, or of one.

        Up to `limit` (1 to 1,000) lines; the next page is the one `after` the last of them.

        Raises:
            InvalidQuery, StoreUnavailable
        """
        read = self._runtime.store.read
        found = await read(queries.get_logs, self.id, attempt, **_lines(after, limit))
        return [logged_line(each) for each in found]

    def logs_sync(
        self,
        *,
        attempt: int | None = None,
        after: LoggedLine | None = None,
        limit: int = LINES,
    ) -> list[LoggedLine]:
        """The same, blocking."""
        read = self._runtime.store.read_sync
        found = read(queries.get_logs, self.id, attempt, **_lines(after, limit))
        return [logged_line(each) for each in found]


def _lines(after: LoggedLine | None, limit: int) -> dict[str, Any]:
    place = None if after is None else (after.attempt, after.number)
    return {"after": place, "limit": checked_limit(limit)}


def _result(record: JobRecord | None, job_id: UUID) -> Any:
    if record is None:
        raise JobNotFound(job_id)
    if record.status == JobStatus.FAILED:
        raise JobFailed(job_id, record.error or "no error was recorded")
    if record.status == JobStatus.CANCELLED:
        raise JobCancelled(job_id, record.reason or "")
    if record.result is None:
        return None
    definition = registry.get(record.task)
    return from_json(record.result) if definition is None else definition.result.load(record.result)


def job_of(record: JobRecord, runtime: Runtime, *, is_new: bool = False) -> Job[Any]:
    """The public value of a record."""
    return Job(
        id=record.id,
        task=record.task,
        queue=record.queue,
        status=JobStatus(record.status),
        attempt=record.attempt,
        is_new=is_new,
        priority=record.priority,
        created_at=record.created_at,
        run_after=record.run_after,
        started_at=record.started_at,
        finished_at=record.finished_at,
        progress=None if record.progress is None else from_json(record.progress),
        error=record.error,
        reason=record.reason,
        cancel_requested_at=record.cancel_requested_at,
        owner=record.owner,
        tags=tuple(from_json(record.tags)) if record.tags else (),
        metadata=from_json(record.meta) if record.meta else {},
        _runtime=runtime,
    )


def job_of_inserted(
    new: NewJob, inserted: Inserted, runtime: Runtime, *, uncommitted: bool = False
) -> Job[Any]:
    """The public value of what an insert came to, without asking the database again."""
    if inserted.record is not None:
        job = job_of(inserted.record, runtime, is_new=inserted.is_new)
        return replace(job, _uncommitted=uncommitted)
    running = inserted.status is JobStatus.RUNNING
    # Past the constructor, which sets the attributes of a frozen value one by one.
    job = object.__new__(Job)
    job.__dict__.update(
        id=new.id,
        task=new.task,
        queue=new.queue,
        status=inserted.status,
        attempt=1 if running else 0,
        is_new=True,
        priority=new.priority,
        created_at=new.created_at,
        run_after=new.run_after,
        started_at=new.created_at if running else None,
        finished_at=None,
        progress=None,
        error=None,
        reason=None,
        cancel_requested_at=None,
        owner=new.owner,
        tags=new.tags,
        metadata=from_json(new.meta) if new.meta else {},
        _runtime=runtime,
        _uncommitted=uncommitted,
    )
    return job


async def get_job(runtime: Runtime, job_id: UUID) -> Job[Any]:
    """The job of this id.

    Raises:
        JobNotFound, StoreUnavailable
    """
    record = await runtime.store.read(queries.get_job, job_id)
    if record is None:
        raise JobNotFound(job_id)
    return job_of(record, runtime)


def get_job_sync(runtime: Runtime, job_id: UUID) -> Job[Any]:
    """The same, blocking."""
    record = runtime.store.read_sync(queries.get_job, job_id)
    if record is None:
        raise JobNotFound(job_id)
    return job_of(record, runtime)


def refuse_on_loop(method: str) -> None:
    """Refuse a blocking call where an event loop runs.

    Raises:
        SyncOnLoop
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SyncOnLoop(method)
