"""Figures: each a short walk along an index, counted up to a cap (law 13)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select

from fastapi_jobs.listing import JobFilter
from fastapi_jobs.status import FINAL, UNFINISHED, JobStatus
from fastapi_jobs.store.queries import COUNT_CAP, count_all, count_jobs
from fastapi_jobs.store.tables import (
    NOT_RUNNING,
    is_kept_as,
    is_listed_as,
    jobs,
    running,
)

NAMES_CAP = 500
"""How many queues are named at most: a client may be allowed to make them up."""
OLDEST_LOOKED_AT = 100
RECENT_LOOKED_AT = 2000
FILTERED_CAP = 1000
"""Where a row must be read to know whether it counts, so many of each status are."""

LIVE = tuple(status for status in JobStatus if status in UNFINISHED)


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are; `is_all` is False where so many at least."""

    number: int
    is_all: bool = True


def count_statuses(connection: Connection, which: JobFilter) -> dict[JobStatus, Count]:
    """How many jobs of a filter each status has."""
    if which.text is not None:  # its window has an end of its own
        found = count_jobs(connection, which)
        return {status: Count(number) for status, number in found.items()}
    named = [which.tag, which.owner, which.task, which.queue, which.worker]
    is_simple = which.tag is None and which.worker is None and sum(map(bool, named)) < 2
    cap = COUNT_CAP if is_simple else FILTERED_CAP
    return {
        status: Count(*count_all(connection, replace(which, statuses=[status]), cap=cap))
        for status in JobStatus
    }


@dataclass(slots=True)
class QueueCounts:
    """The unfinished jobs of one queue."""

    counts: dict[JobStatus, int] = field(default_factory=dict)
    oldest_due_at: datetime | None = None
    """Since when a job that could run has waited."""


def queue_names(connection: Connection, cap: int = NAMES_CAP) -> list[str]:
    """The queues that have jobs, finished ones included: one step along the index for each."""
    found: list[str] = []
    first = select(func.min(jobs.c.queue)).where(NOT_RUNNING)
    name = connection.execute(first).scalar()
    while name is not None and len(found) < cap:
        found.append(name)
        name = connection.execute(first.where(jobs.c.queue > name)).scalar()
    of_running = connection.execute(select(running(jobs.c.queue).c.queue).distinct()).scalars()
    return sorted({*found, *of_running})[:cap]


def has_queue(connection: Connection, name: str) -> bool:
    """Whether any job is or was in this queue."""
    # The order makes every planner walk the index.
    order = (jobs.c.queue, jobs.c.status, jobs.c.id)
    inside = jobs.c.queue == name
    kept = select(jobs.c.id).where(inside, NOT_RUNNING).order_by(*order).limit(1)
    runs = select(running(jobs.c.id, inside).c.id).limit(1)
    return any(connection.execute(each).first() is not None for each in (kept, runs))


def count_queues(
    connection: Connection, names: Collection[str], *, cap: int = COUNT_CAP
) -> dict[str, QueueCounts]:
    """The unfinished jobs of these queues, counted up to `cap` for each status."""
    return {name: _count_queue(connection, name, cap) for name in names}


def _count_queue(connection: Connection, name: str, cap: int) -> QueueCounts:
    found = QueueCounts()
    for status in LIVE:
        some = _inside(jobs.c.queue == name, status).limit(cap).subquery()
        count = connection.execute(select(func.count()).select_from(some)).scalar_one()
        found.counts[status] = int(count)
    if found.counts[JobStatus.QUEUED]:
        found.oldest_due_at = _oldest_due(connection, jobs.c.queue == name)
    return found


_DUE_AT = func.coalesce(jobs.c.run_after, jobs.c.created_at)


def _oldest_due(connection: Connection, inside: ColumnElement[bool]) -> datetime | None:
    """Judged by the oldest jobs: a job becomes due when it is made, or later."""
    oldest = (
        select(jobs.c.run_after, jobs.c.created_at)
        .where(inside, is_kept_as(JobStatus.QUEUED))
        .order_by(jobs.c.id)
        .limit(OLDEST_LOOKED_AT)
    )
    rows = connection.execute(oldest)
    return min((row.run_after or row.created_at for row in rows), default=None)


def count_queues_of_owner(
    connection: Connection, owner: str, *, cap: int = COUNT_CAP
) -> dict[str, QueueCounts]:
    """The same for the unfinished jobs of one owner; only the queues where there are some."""
    found: dict[str, QueueCounts] = {}
    for status in LIVE:
        some = _inside(jobs.c.owner == owner, status).limit(cap)
        statement = (
            select(jobs.c.queue, func.count().label("found"), func.min(_DUE_AT).label("due"))
            .where(jobs.c.id.in_(some.scalar_subquery()))
            .group_by(jobs.c.queue)
        )
        for row in connection.execute(statement):
            one = found.setdefault(row.queue, QueueCounts(dict.fromkeys(LIVE, 0)))
            one.counts[status] = int(row.found)
            if status is JobStatus.QUEUED:
                one.oldest_due_at = row.due
    return found


def _inside(inside: ColumnElement[bool], status: JobStatus) -> Select[Any]:
    """The jobs of one owner or queue that have a status."""
    if status is JobStatus.RUNNING:
        return select(running(jobs.c.id, inside).c.id)
    return select(jobs.c.id).where(inside, is_kept_as(status))


def count_finished_since(
    connection: Connection,
    since: datetime,
    *,
    owner: str | None = None,
    cap: int = RECENT_LOOKED_AT,
) -> Mapping[JobStatus, int]:
    """How many jobs ended since then, among the newest `cap` of each final status.

    Jobs are found in the order in which they were made: one that waited while `cap` younger ones
    ended is not counted.
    """
    return {status: _finished_since(connection, status, since, owner, cap) for status in _ENDS}


def _finished_since(
    connection: Connection, status: JobStatus, since: datetime, owner: str | None, cap: int
) -> int:
    inside = (
        is_listed_as(status) if owner is None else and_(jobs.c.owner == owner, is_kept_as(status))
    )
    newest = select(jobs.c.finished_at).where(inside).order_by(jobs.c.id.desc()).limit(cap)
    recent = newest.subquery()
    count = select(func.count()).select_from(recent).where(recent.c.finished_at >= since)
    return int(connection.execute(count).scalar_one())


_ENDS: Sequence[JobStatus] = [status for status in JobStatus if status in FINAL]
