"""`GET {prefix}/stats`, `/queues` and `/workers`, and the switch of a queue."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field

from fastapi_jobs.api.access import Access, AccessOf, Scope
from fastapi_jobs.api.problems import Code, ProblemError
from fastapi_jobs.api.schemas import WorkerOut, worker_out
from fastapi_jobs.checks import queue_of
from fastapi_jobs.claiming import declared_limits
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.listing import EVERY_JOB
from fastapi_jobs.models import QueueRecord
from fastapi_jobs.options import DEFAULT_QUEUE
from fastapi_jobs.registry import registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries, stats
from fastapi_jobs.store.lanes import in_force
from fastapi_jobs.store.queries import COUNT_CAP
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.store.stats import QueueCounts

RECENT = timedelta(minutes=5)


class StatusCounts(BaseModel):
    """How many jobs stand where."""

    blocked: int
    scheduled: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class FinishedOut(BaseModel):
    """How many jobs ended of late, counted among the newest 2,000 of each kind."""

    seconds: float
    succeeded: int
    failed: int
    cancelled: int


class QueueStats(BaseModel):
    """The unfinished jobs of one queue."""

    name: str
    scheduled: int = Field(description="Not due yet.")
    queued: int = Field(description="Due.")
    running: int
    oldest_due_at: datetime | None = Field(description="Since when a due job has waited.")


class StatsOut(BaseModel):
    """The figures of the jobs that you may see."""

    counts: StatusCounts
    count_cap: int = Field(default=COUNT_CAP, description="A count stops here: so many or more.")
    finished: FinishedOut
    queues: list[QueueStats]


class QueueOut(QueueStats):
    """One queue; who paused it, and why, only for those who may see all jobs."""

    paused: bool
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    backend: str | None = Field(description="Null: the task or the settings decide.")
    max_running: int | None = Field(description="Over all processes; null is no limit.")
    priority: int = Field(description="Of two queues with due jobs, the larger goes first.")


class Pause(BaseModel):
    """Why a queue is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, max_length=1000, examples=["The mail server is down"])


async def get_stats(request: Request, access: AccessOf) -> StatsOut:
    """Jobs by status and queue, and how many ended of late."""
    scope, store, since = await access.scope_of(request), access.runtime.store, utc_now() - RECENT
    which = scope.narrow(EVERY_JOB)
    counts: Mapping[JobStatus, int] = {}
    ended: Mapping[JobStatus, int] = {}
    if which is not None:
        counts = await store.read(queries.count_jobs, which)
        ended = await store.read(stats.count_finished_since, since, owner=which.owner)
    queues = await _counts_of_queues(access, scope)
    return StatsOut(
        counts=StatusCounts(**{each.value: counts.get(each, 0) for each in JobStatus}),
        finished=_finished(ended),
        queues=[_queue_stats(name, found) for name, found in sorted(queues.items())],
    )


def _finished(ended: Mapping[JobStatus, int]) -> FinishedOut:
    return FinishedOut(
        seconds=RECENT.total_seconds(),
        succeeded=ended.get(JobStatus.SUCCEEDED, 0),
        failed=ended.get(JobStatus.FAILED, 0),
        cancelled=ended.get(JobStatus.CANCELLED, 0),
    )


async def _counts_of_queues(
    access: Access, scope: Scope, names: Iterable[str] = ()
) -> dict[str, QueueCounts]:
    """Of all jobs: `names` and whatever queue has any; of one owner: the queues with theirs."""
    store = access.runtime.store
    if scope.is_empty:
        return {}
    if scope.only is not None:
        return await store.read(stats.count_queues_of_owner, scope.only)
    found = await store.read(stats.queue_names)
    return await store.read(stats.count_queues, {*names, *found})


def _queue_stats(name: str, found: QueueCounts) -> QueueStats:
    return QueueStats(
        name=name,
        scheduled=found.counts.get(JobStatus.SCHEDULED, 0),
        queued=found.counts.get(JobStatus.QUEUED, 0),
        running=found.counts.get(JobStatus.RUNNING, 0),
        oldest_due_at=found.oldest_due_at,
    )


async def list_queues(request: Request, access: AccessOf) -> list[QueueOut]:
    """The queues by name, with what waits and runs in them."""
    scope = await access.scope_of(request)
    rows = {each.name: each for each in await access.runtime.store.read(queries.get_queues)}
    names = {*rows, *known_names(access.runtime.settings)}
    counts = await _counts_of_queues(access, scope, names)
    settings, is_staff = access.runtime.settings, scope.is_everything
    return [
        queue_out(settings, name, found, rows.get(name), is_staff=is_staff)
        for name, found in sorted(counts.items())
    ]


def known_names(settings: Settings) -> set[str]:
    """The queues that settings and tasks name."""
    of_tasks = {queue_of(settings, each) for each in registry.values()}
    return {DEFAULT_QUEUE, *settings.queues, *settings.routes.values(), *of_tasks}


def queue_out(
    settings: Settings,
    name: str,
    found: QueueCounts,
    row: QueueRecord | None,
    *,
    is_staff: bool,
) -> QueueOut:
    """A queue as its row and the settings have it; what people changed wins."""
    limits, row = in_force(declared_limits(settings, name), row), row or QueueRecord(name=name)
    return QueueOut(
        **_queue_stats(name, found).model_dump(),
        paused=limits.paused,
        paused_at=row.paused_at,
        paused_by=row.paused_by if is_staff else None,
        pause_reason=row.pause_reason if is_staff else None,
        backend=settings.queue(name).backend,
        max_running=limits.max_running,
        priority=limits.priority,
    )


async def pause_queue(
    request: Request,
    access: AccessOf,
    name: Annotated[str, Path(max_length=100)],
    body: Pause | None = None,
) -> QueueOut:
    """Start no more jobs of a queue; those that run are left alone."""
    await refuse_unknown(access.runtime, name)
    by, reason = await access.owner_of(request), None if body is None else body.reason
    await access.runtime.store.write(PauseQueue(name, utc_now(), by, reason))
    return await _one_queue(access, name)


async def resume_queue(access: AccessOf, name: Annotated[str, Path(max_length=100)]) -> QueueOut:
    """Start jobs of a queue again."""
    await refuse_unknown(access.runtime, name)
    await access.runtime.store.write(ResumeQueue(name))
    return await _one_queue(access, name)


async def refuse_unknown(runtime: Runtime, name: str) -> None:
    """A misspelt queue would be paused in vain.

    Raises:
        ProblemError: 404.
    """
    store = runtime.store
    rows = await store.read(queries.get_queues)
    known = {*known_names(runtime.settings), *(each.name for each in rows)}
    if name in known or ("\x00" not in name and await store.read(stats.has_queue, name)):
        return
    detail = f"There is no queue {name!r}.{did_you_mean(name, known)}"
    raise ProblemError(404, Code.UNKNOWN_QUEUE, "There is no such queue", detail)


async def _one_queue(access: Access, name: str) -> QueueOut:
    store = access.runtime.store
    rows = {each.name: each for each in await store.read(queries.get_queues)}
    found = await store.read(stats.count_queues, [name])
    return queue_out(access.runtime.settings, name, found[name], rows.get(name), is_staff=True)


async def list_workers(access: AccessOf) -> list[WorkerOut]:
    """The processes that run jobs."""
    return [worker_out(each) for each in await access.runtime.store.read(queries.get_workers)]
