"""The Core tables behind the models, and the conditions that many statements share."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Subquery, Table, and_, case, literal_column, or_, select
from sqlalchemy.orm import class_mapper

from fastapi_jobs.models import (
    LISTED_STATUS,
    AttemptRecord,
    AuditRecord,
    Base,
    IdempotencyRecord,
    JobRecord,
    LogRecord,
    QueueRecord,
    TagRecord,
    WorkerRecord,
)
from fastapi_jobs.status import JobStatus

R = TypeVar("R", bound=Base)


def _table(record: type[Base]) -> Table:
    return record.__table__  # type: ignore[attr-defined,no-any-return]


jobs = _table(JobRecord)
attempts = _table(AttemptRecord)
logs = _table(LogRecord)
workers = _table(WorkerRecord)
queues = _table(QueueRecord)
tags = _table(TagRecord)
idempotency = _table(IdempotencyRecord)
audit = _table(AuditRecord)


def status_text(status: JobStatus) -> ColumnElement[str]:
    """A status as a literal of the statement: a bound one would not match a partial index."""
    return literal_column(f"'{status.value}'")


def has_status(*statuses: JobStatus) -> ColumnElement[bool]:
    """The job's status is one of these."""
    if len(statuses) == 1:
        return jobs.c.status == status_text(statuses[0])
    return jobs.c.status.in_([status_text(each) for each in statuses])


IS_RUNNING = has_status(JobStatus.RUNNING)
NOT_RUNNING = jobs.c.status != status_text(JobStatus.RUNNING)


def is_listed_as(status: JobStatus) -> ColumnElement[bool]:
    """The job's status is this one, found by the index of the lists; never `running`."""
    return and_(literal_column(LISTED_STATUS) == status_text(status), NOT_RUNNING)


def is_kept_as(status: JobStatus) -> ColumnElement[bool]:
    """The job's status is this one, found by the index of its owner or task; never `running`."""
    return and_(has_status(status), NOT_RUNNING)


def running(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> Subquery:
    """A column of the running jobs, which are few: of those that `conditions` allow.

    The order makes every planner walk their own index, the offset keeps what is around out of it.
    """
    walk = select(column).where(IS_RUNNING, *conditions)
    return walk.order_by(jobs.c.worker_id).offset(literal_column("0")).subquery()


UNSUSPECTED = jobs.c.suspect == literal_column("0")
SUSPECTED = jobs.c.suspect == literal_column("1")
QUEUED = and_(has_status(JobStatus.QUEUED), UNSUSPECTED)
UNPUBLISHED = jobs.c.published_at.is_(None)
UNCLAIMED = and_(jobs.c.published_at.is_not(None), has_status(JobStatus.QUEUED))

RELEASED_KEY = case(
    (jobs.c.unique_during == literal_column("'window'"), jobs.c.unique_slot),
    else_=literal_column("NULL"),
)
"""A finished job gives up its unique key, unless it holds it for a window of time."""


def owned(job_id: Any, fence: Any) -> ColumnElement[bool]:
    """The fence (law 3): true only for the owner of a running job."""
    fence_of_running = guarded(JobStatus.RUNNING, jobs.c.fence)
    return and_(jobs.c.id == job_id, fence_of_running == fence)


def guarded(status: JobStatus, value: Any) -> ColumnElement[Any]:
    """`value` of a job with this status, else NULL, where the row is to be found by its id.

    PostgreSQL, with the statistics of an empty table, would rather walk the partial index of that
    status for each of a batch's rows. Inside a CASE the status tempts it to no index.
    """
    return case((has_status(status), value), else_=literal_column("NULL"))


NEVER_STARTED = jobs.c.attempt == literal_column("0")


def unexpired(now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """The job may still start: only one that never ran can expire."""
    return or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > now, ~NEVER_STARTED)


def values(row: Any) -> dict[str, Any]:
    """A result row as a dictionary."""
    return dict(row._mapping)


def loaded(record: type[R], columns: Mapping[str, Any]) -> R:
    """A record with what the database holds, made as an ORM query makes it.

    The constructor sets one attribute after the other, which takes longer than a page's SQL.
    """
    instance: R = class_mapper(record).class_manager.new_instance()
    instance.__dict__.update(columns)
    return instance
