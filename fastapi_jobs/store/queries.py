"""Reads. Lists walk an index from a cursor; nothing here scans or counts without a cap (law 13)."""

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    func,
    select,
    tuple_,
    union_all,
)

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.errors import InvalidCursor
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord, QueueRecord, WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import (
    NEVER_STARTED,
    QUEUED,
    SUSPECTED,
    attempts,
    has_status,
    is_listed_as,
    jobs,
    logs,
    queues,
    tags,
    values,
    workers,
)

SCAN_LIMIT = 2000
"""Rows that one page may look at where two conditions have no common index."""

ERROR_IN_LISTS = 500
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `next_cursor` is None on the last one."""

    items: Sequence[JobRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Peek:
    """What a dispatcher must know to sleep well."""

    queued: bool
    next_due: datetime | None


def make_cursor(job_id: UUID) -> str:
    """The cursor of the page that follows `job_id`."""
    return base64.urlsafe_b64encode(job_id.bytes).decode().rstrip("=")


def read_cursor(cursor: str) -> UUID:
    """The id in a cursor.

    Raises:
        InvalidCursor: we did not make it.
    """
    try:
        if len(cursor) != 22:
            raise InvalidCursor(cursor)
        return UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor(cursor) from error


def get_job(connection: Connection, job_id: UUID) -> JobRecord | None:
    """One job with everything."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).first()
    return None if row is None else JobRecord(**values(row))


def get_status(connection: Connection, job_ids: Collection[UUID]) -> dict[UUID, JobStatus]:
    """The statuses of some jobs; those that do not exist are absent."""
    statement = select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(job_ids))
    return {row.id: JobStatus(row.status) for row in connection.execute(statement)}


def get_attempts(connection: Connection, job_id: UUID) -> list[AttemptRecord]:
    """The runs of one job, oldest first."""
    statement = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
    return [AttemptRecord(**values(row)) for row in connection.execute(statement)]


def get_logs(
    connection: Connection,
    job_id: UUID,
    attempt: int | None = None,
    *,
    after: tuple[int, int] | None = None,
    limit: int | None = None,
) -> list[LogRecord]:
    """The log lines of one job, or of one of its attempts, in their order.

    `after` leaves out the lines up to that attempt and number, `limit` those beyond so many.
    """
    statement = select(logs).where(logs.c.job_id == job_id)
    if attempt is not None:
        statement = statement.where(logs.c.attempt == attempt)
    if after is not None:
        statement = statement.where(tuple_(logs.c.attempt, logs.c.number) > after)
    statement = statement.order_by(logs.c.attempt, logs.c.number).limit(limit)
    return [LogRecord(**values(row)) for row in connection.execute(statement)]


def get_queues(connection: Connection) -> list[QueueRecord]:
    """Every queue that has a row."""
    rows = connection.execute(select(queues).order_by(queues.c.name))
    return [QueueRecord(**values(row)) for row in rows]


def get_workers(connection: Connection) -> list[WorkerRecord]:
    """Every worker that has a row."""
    rows = connection.execute(select(workers).order_by(workers.c.started_at))
    return [WorkerRecord(**values(row)) for row in rows]


def peek(connection: Connection) -> Peek:
    """Whether anything is queued, and when the next scheduled or expiring job wants attention."""
    # The order makes every planner walk the index, however old its statistics are.
    queued = select(jobs.c.id).where(QUEUED).order_by(jobs.c.queue, jobs.c.task).limit(1)
    waiting = connection.execute(queued).first() is not None or has_suspects(connection)
    return Peek(waiting, next_due(connection))


def next_due(connection: Connection) -> datetime | None:
    """When the next scheduled job is due, or the next waiting one expires."""
    moments = [connection.execute(each).scalar() for each in (_DUE, _EXPIRY)]
    return min((each for each in moments if each is not None), default=None)


_DUE = select(func.min(jobs.c.run_after)).where(has_status(JobStatus.SCHEDULED))
_EXPIRY = select(func.min(jobs.c.expires_at)).where(
    jobs.c.expires_at.is_not(None),
    has_status(JobStatus.QUEUED, JobStatus.SCHEDULED),
    NEVER_STARTED,
)


def has_suspects(connection: Connection) -> bool:
    """Whether a suspect waits to run alone."""
    statement = select(jobs.c.id).where(has_status(JobStatus.QUEUED), SUSPECTED).limit(1)
    return connection.execute(statement).first() is not None


def cancel_requests(connection: Connection, worker: UUID) -> list[tuple[UUID, int]]:
    """Id and fence of each running job of a worker that somebody wants cancelled."""
    statement = select(jobs.c.id, jobs.c.fence).where(
        jobs.c.worker_id == worker,
        jobs.c.cancel_requested_at.is_not(None),
        has_status(JobStatus.RUNNING),
    )
    return [(row.id, row.fence) for row in connection.execute(statement)]


def queued_tasks(connection: Connection) -> list[str]:
    """The names of all tasks that have queued jobs, each found by one step along the index."""
    found: list[str] = []
    queue = select(func.min(jobs.c.queue)).where(QUEUED)
    name = connection.execute(queue).scalar()
    while name is not None:
        task = select(func.min(jobs.c.task)).where(QUEUED, jobs.c.queue == name)
        each = connection.execute(task).scalar()
        while each is not None:
            found.append(each)
            each = connection.execute(task.where(jobs.c.task > each)).scalar()
        name = connection.execute(queue.where(jobs.c.queue > name)).scalar()
    return sorted(set(found))


def count_jobs(
    connection: Connection, which: JobFilter, *, cap: int = COUNT_CAP
) -> dict[JobStatus, int]:
    """How many jobs each status has, counted up to `cap`.

    Where two conditions share no index, only the newest `cap` rows of the first are looked at.
    """
    counts = {}
    for status in JobStatus:
        only = replace(which, statuses=[status])
        found = _ranges(only, [status], newest=True, before=None, limit=cap)
        count = select(func.count()).select_from(found)
        rest = _unindexed(only)
        if rest:
            count = count.join(jobs, jobs.c.id == found.c.id).where(*rest)
        counts[status] = int(connection.execute(count).scalar_one())
    return counts


def list_jobs(
    connection: Connection,
    which: JobFilter,
    *,
    limit: int = 50,
    cursor: str | None = None,
    newest: bool = True,
) -> Page:
    """One page in the order of creation. Arguments and results are left out, errors are cut.

    A page may hold fewer than `limit` items and still have a `next_cursor`: where two conditions
    share no index, one page looks at SCAN_LIMIT rows at the most.

    Raises:
        InvalidCursor: `cursor` is not one of ours.
    """
    after = None if cursor is None else read_cursor(cursor)
    statuses = list(which.statuses) or list(JobStatus)
    rest = _unindexed(which)
    scan = SCAN_LIMIT if rest else limit + 1
    found = _ranges(which, statuses, newest=newest, before=after, limit=scan)
    direction = jobs.c.id.desc() if newest else jobs.c.id.asc()
    statement = (
        select(*_listed_columns())
        .join(found, found.c.id == jobs.c.id)
        .where(*rest)
        .order_by(direction)
        .limit(limit + 1)
    )
    items = [JobRecord(args="{}", **values(row)) for row in connection.execute(statement)]
    if len(items) > limit:
        return Page(items[:limit], make_cursor(items[limit - 1].id))
    if not rest:
        return Page(items, None)
    order = found.c.id.desc() if newest else found.c.id.asc()
    edge = select(found.c.id).order_by(order).offset(scan - 1).limit(1)
    last = connection.execute(edge).first()
    return Page(items, None if last is None else make_cursor(last.id))


def found_ids(which: JobFilter, *, after: UUID, limit: int) -> Subquery:
    """The ids that come after this one, oldest first; at most `limit` rows are looked at."""
    statuses = list(which.statuses) or list(JobStatus)
    found = _ranges(which, statuses, newest=False, before=after, limit=limit)
    rest = _unindexed(which)
    if not rest:
        return found
    narrowed = select(found.c.id).join(jobs, jobs.c.id == found.c.id).where(*rest)
    return narrowed.subquery("narrowed")


def _listed_columns() -> list[ColumnElement[Any]]:
    short = func.substr(jobs.c.error, 1, ERROR_IN_LISTS).label("error")
    left_out = {"args", "result"}
    return [short if c.name == "error" else c for c in jobs.c if c.name not in left_out]


_LEADING = ("owner", "task", "queue")


def _leading(which: JobFilter) -> str | None:
    if which.tag is not None:
        return "tag"
    return next((name for name in _LEADING if getattr(which, name) is not None), None)


def _unindexed(which: JobFilter) -> list[ColumnElement[bool]]:
    """The conditions that the leading index does not cover."""
    leading = _leading(which)
    rest = [
        jobs.c[name] == getattr(which, name)
        for name in _LEADING
        if name != leading and getattr(which, name) is not None
    ]
    if leading == "tag" and which.statuses:
        rest.append(jobs.c.status.in_(list(which.statuses)))
    return rest


def _ranges(
    which: JobFilter,
    statuses: Sequence[JobStatus],
    *,
    newest: bool,
    before: UUID | None,
    limit: int,
) -> Subquery:
    """The ids of the first `limit` rows, by one short walk along an index for each status."""
    leading = _leading(which)
    id_column = tags.c.job_id if leading == "tag" else jobs.c.id
    window: list[ColumnElement[bool]] = []
    if which.created_after is not None:
        window.append(id_column >= first_uuid7(which.created_after))
    if which.created_before is not None:
        window.append(id_column < first_uuid7(which.created_before))
    if before is not None:
        window.append(id_column < before if newest else id_column > before)
    order = id_column.desc() if newest else id_column.asc()

    def walk(*conditions: ColumnElement[bool]) -> Select[Any]:
        ids = select(id_column.label("id")).where(*conditions, *window)
        return ids.order_by(order).limit(limit)

    if leading == "tag":
        return walk(tags.c.tag == which.tag).subquery("found")
    everything = len(set(statuses)) == len(JobStatus)
    if leading is None and everything:
        return walk().subquery("found")
    fixed = [] if leading is None else [jobs.c[leading] == getattr(which, leading)]
    by_status = is_listed_as if leading is None else has_status
    walks = [walk(*fixed, by_status(status)).subquery() for status in statuses]
    merged = union_all(*(select(each.c.id) for each in walks)).subquery()
    direction = merged.c.id.desc() if newest else merged.c.id.asc()
    return select(merged.c.id).order_by(direction).limit(limit).subquery("found")
