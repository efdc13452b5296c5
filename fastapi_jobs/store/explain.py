"""What stands between one job and its start. Every look walks an index and is capped (law 13)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select

from fastapi_jobs.models import AttemptRecord, JobRecord, QueueRecord, WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.lanes import Lane, waiting_lanes
from fastapi_jobs.store.tables import (
    QUEUED,
    SUSPECTED,
    attempts,
    has_status,
    jobs,
    values,
)

RUNNING_CAP = 5000
"""How many running jobs one look reads."""

AHEAD_CAP = 1000
"""Up to how many jobs that wait ahead are counted."""


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs now."""

    id: UUID
    lane: Lane
    worker_id: UUID
    owner: str | None
    started_at: datetime
    is_alone: bool
    """A suspect: its worker starts nothing beside it."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The job that holds a unique key."""

    id: UUID
    owner: str | None
    status: JobStatus


@dataclass(frozen=True, slots=True)
class Standing:
    """One job and what is around it."""

    job: JobRecord
    attempt: AttemptRecord | None
    """Its newest run."""
    queues: Sequence[QueueRecord]
    workers: Sequence[WorkerRecord]
    lanes: Sequence[Lane]
    """The lanes with waiting jobs; none unless the job is queued."""
    running: Sequence[Running]
    """What runs anywhere, the longest first, up to RUNNING_CAP."""
    key_holder: KeyHolder | None
    """Another job that holds the unique key of this one."""


@dataclass(frozen=True, slots=True)
class Rivals:
    """The lanes whose jobs may be taken first."""

    first: Sequence[Lane] = ()
    """All of their jobs come first."""
    equal: Sequence[Lane] = ()
    """Those come first that have a larger priority, or the same and are older."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """How many jobs of one lane and priority come first, counted up to AHEAD_CAP in all."""

    lane: Lane
    priority: int
    count: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that `explain` has to know."""

    standing: Standing
    ahead: Sequence[Ahead]
    suspects: Mapping[Lane, int]
    """How many suspects wait, up to AHEAD_CAP in all; for a suspect, of those that are older."""


def gather(
    connection: Connection, job_id: UUID, rivals: Callable[[Standing], Rivals]
) -> Facts | None:
    """The facts about one job; None when there is none. `rivals` judges the lanes in between."""
    job = queries.get_job(connection, job_id)
    if job is None:
        return None
    standing = _standing(connection, job)
    return Facts(
        standing,
        _ahead(connection, job, rivals(standing)),
        _suspects(connection, job) if job.status == JobStatus.QUEUED else {},
    )


def _standing(connection: Connection, job: JobRecord) -> Standing:
    status = JobStatus(job.status)
    is_queued = status is JobStatus.QUEUED
    return Standing(
        job,
        _newest_attempt(connection, job.id),
        queries.get_queues(connection),
        [] if status.is_final else queries.get_workers(connection),
        waiting_lanes(connection) if is_queued and not job.suspect else [],
        _running(connection) if is_queued else [],
        _key_holder(connection, job) if status.is_final and job.unique_key else None,
    )


def _newest_attempt(connection: Connection, job_id: UUID) -> AttemptRecord | None:
    newest = attempts.c.number.desc()
    statement = select(attempts).where(attempts.c.job_id == job_id).order_by(newest).limit(1)
    row = connection.execute(statement).first()
    return None if row is None else AttemptRecord(**values(row))


def _running(connection: Connection) -> list[Running]:
    names = ("id", "queue", "task", "backend", "worker_id", "owner", "started_at", "suspect")
    statement = (
        select(*(jobs.c[name] for name in names))
        .where(has_status(JobStatus.RUNNING))
        # The order makes every planner walk the index, however old its statistics are.
        .order_by(jobs.c.worker_id)
        .limit(RUNNING_CAP)
    )
    found = [
        Running(
            row.id,
            Lane(row.queue, row.task, row.backend),
            row.worker_id,
            row.owner,
            row.started_at,
            bool(row.suspect),
        )
        for row in connection.execute(statement)
    ]
    return sorted(found, key=lambda each: (each.started_at, each.id))


def _key_holder(connection: Connection, job: JobRecord) -> KeyHolder | None:
    statement = select(jobs.c.id, jobs.c.owner, jobs.c.status).where(
        jobs.c.unique_slot == job.unique_key, jobs.c.id != job.id
    )
    row = connection.execute(statement).first()
    return None if row is None else KeyHolder(row.id, row.owner, JobStatus(row.status))


def _ahead(connection: Connection, job: JobRecord, rivals: Rivals) -> list[Ahead]:
    found: list[Ahead] = []
    left = AHEAD_CAP
    older = (jobs.c.priority == job.priority) & (jobs.c.id < job.id)
    ways: list[tuple[Lane, ColumnElement[bool] | None]] = [(lane, None) for lane in rivals.first]
    ways += [
        (lane, way) for lane in rivals.equal for way in (jobs.c.priority > job.priority, older)
    ]
    for lane, way in ways:
        for priority, count in _counted(connection, lane, way, left):
            found.append(Ahead(lane, priority, count))
            left -= count
        if left <= 0:
            break
    return found


def _counted(
    connection: Connection, lane: Lane, way: ColumnElement[bool] | None, cap: int
) -> Sequence[Any]:
    waiting = select(jobs.c.priority).where(
        QUEUED,
        jobs.c.queue == lane.queue,
        jobs.c.task == lane.task,
        jobs.c.backend == lane.backend,
    )
    if way is not None:
        waiting = waiting.where(way)
    some = waiting.order_by(jobs.c.priority.desc(), jobs.c.id).limit(cap).subquery()
    statement = select(some.c.priority, func.count()).group_by(some.c.priority)
    return connection.execute(statement.order_by(some.c.priority.desc())).all()


def _suspects(connection: Connection, job: JobRecord) -> dict[Lane, int]:
    lane = (jobs.c.queue, jobs.c.task, jobs.c.backend)
    waiting = select(*lane).where(has_status(JobStatus.QUEUED), SUSPECTED)
    if job.suspect:
        waiting = waiting.where(jobs.c.id < job.id)
    capped = waiting.order_by(jobs.c.id).limit(AHEAD_CAP)
    return Counter(Lane(*row) for row in connection.execute(capped))
