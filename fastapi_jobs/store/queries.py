"""Reads. Lists walk an index from a cursor; nothing here scans or counts without a cap (law 13)."""

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
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
    literal_column,
    select,
    union_all,
)

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.errors import InvalidCursor
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord, QueueRecord, WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import (
    NEVER_STARTED,
    QUEUED,
    SUSPECTED,
    attempts,
    has_status,
    is_kept_as,
    is_listed_as,
    jobs,
    loaded,
    logs,
    queues,
    running,
    tags,
    values,
    workers,
)

SCAN_LIMIT = 1000
"""Rows that one page may look at where two conditions have no common index."""

FIRST_LOOK = 4
"""Of those, how many for each wanted row are looked at first: mostly that fills the page."""

ERROR_IN_LISTS = 500
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows; what is None or empty does not restrict it."""

    statuses: Collection[JobStatus] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    owner: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


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
    return None if row is None else loaded(JobRecord, values(row))


def get_status(connection: Connection, job_ids: Collection[UUID]) -> dict[UUID, JobStatus]:
    """The statuses of some jobs; those that do not exist are absent."""
    statement = select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(job_ids))
    return {row.id: JobStatus(row.status) for row in connection.execute(statement)}


def get_attempts(connection: Connection, job_id: UUID) -> list[AttemptRecord]:
    """The runs of one job, oldest first."""
    statement = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
    return [loaded(AttemptRecord, values(row)) for row in connection.execute(statement)]


def get_logs(
    connection: Connection,
    job_id: UUID,
    attempt: int | None = None,
    *,
    after: int = 0,
    limit: int | None = None,
) -> list[LogRecord]:
    """The log lines of one job, or of one of its attempts, in their order.

    `after` leaves out the lines up to that number, `limit` those beyond so many.
    """
    statement = select(logs).where(logs.c.job_id == job_id)
    if attempt is not None:
        statement = statement.where(logs.c.attempt == attempt)
    if after:
        statement = statement.where(logs.c.number > after)
    statement = statement.order_by(logs.c.attempt, logs.c.number).limit(limit)
    return [loaded(LogRecord, values(row)) for row in connection.execute(statement)]


def get_queues(connection: Connection) -> list[QueueRecord]:
    """Every queue that has a row."""
    rows = connection.execute(select(queues).order_by(queues.c.name))
    return [loaded(QueueRecord, values(row)) for row in rows]


def get_workers(connection: Connection) -> list[WorkerRecord]:
    """Every worker that has a row."""
    rows = connection.execute(select(workers).order_by(workers.c.started_at))
    return [loaded(WorkerRecord, values(row)) for row in rows]


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
        found = _ranges(only, newest=True, after=None, limit=cap)
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
    items: list[JobRecord] = []
    for scan in _looks(which, limit):
        found = _ranges(which, newest=newest, after=after, limit=scan)
        items += _listed(connection, which, found, newest=newest, limit=limit + 1 - len(items))
        if len(items) > limit:
            return Page(items[:limit], make_cursor(items[limit - 1].id))
        after = _last(connection, found, scan, newest=newest) if _unindexed(which) else None
        if after is None:
            return Page(items, None)
    return Page(items, None if after is None else make_cursor(after))


def _looks(which: JobFilter, limit: int) -> list[int]:
    """How many rows to look at, step by step, until the page is full."""
    if not _unindexed(which):
        return [limit + 1]
    first = min((limit + 1) * FIRST_LOOK, SCAN_LIMIT)
    return [first, SCAN_LIMIT - first] if first < SCAN_LIMIT else [first]


def _listed(
    connection: Connection, which: JobFilter, found: Subquery, *, newest: bool, limit: int
) -> list[JobRecord]:
    statement = (
        select(*_listed_columns())
        .join(found, found.c.id == jobs.c.id)
        .where(*_unindexed(which))
        .order_by(jobs.c.id.desc() if newest else jobs.c.id.asc())
        .limit(limit)
    )
    left_out = {"args": "{}", "result": None}
    return [loaded(JobRecord, values(row) | left_out) for row in connection.execute(statement)]


def _last(connection: Connection, found: Subquery, scan: int, *, newest: bool) -> UUID | None:
    """Where a walk of `scan` rows ended; None when there were fewer."""
    order = found.c.id.desc() if newest else found.c.id.asc()
    edge = select(found.c.id).order_by(order).offset(scan - 1).limit(1)
    last: UUID | None = connection.execute(edge).scalar()
    return last


def found_ids(which: JobFilter, *, after: UUID, limit: int) -> Subquery:
    """The ids that come after this one, oldest first; at most `limit` rows are looked at."""
    found = _ranges(which, newest=False, after=after, limit=limit)
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
        # Joined with an empty text it tempts no planner to walk the index of this column instead.
        jobs.c[name].concat(literal_column("''")) == getattr(which, name)
        for name in _LEADING
        if name != leading and getattr(which, name) is not None
    ]
    if leading == "tag" and which.statuses:
        rest.append(jobs.c.status.in_(list(which.statuses)))
    return rest


def _ranges(which: JobFilter, *, newest: bool, after: UUID | None, limit: int) -> Subquery:
    """The ids of the first `limit` rows, by one short walk along an index for each status."""
    walks = [_window(walk, which, newest, after, limit) for walk in _walks(which)]
    if len(walks) == 1:
        return walks[0].subquery("found")
    merged = union_all(*(select(each.subquery().c.id) for each in walks)).subquery()
    direction = merged.c.id.desc() if newest else merged.c.id.asc()
    return select(merged.c.id).order_by(direction).limit(limit).subquery("found")


def _walks(which: JobFilter) -> Iterator[Select[tuple[UUID]]]:
    leading = _leading(which)
    statuses = set(which.statuses) or set(JobStatus)
    if leading == "tag":
        yield select(tags.c.job_id.label("id")).where(tags.c.tag == which.tag)
        return
    if leading is None and len(statuses) == len(JobStatus):
        yield select(jobs.c.id)
        return
    fixed = [] if leading is None else [jobs.c[leading] == getattr(which, leading)]
    for status in (each for each in JobStatus if each in statuses):
        if leading == "queue":
            yield select(jobs.c.id).where(*fixed, has_status(status))
        elif status is JobStatus.RUNNING:
            yield select(running(jobs.c.id, *fixed).c.id)
        else:
            by_status = is_listed_as if leading is None else is_kept_as
            yield select(jobs.c.id).where(*fixed, by_status(status))


def _window(
    walk: Select[tuple[UUID]],
    which: JobFilter,
    newest: bool,
    after: UUID | None,
    limit: int,
) -> Select[Any]:
    """The part of a walk that a page asks for.

    One bound at the most on each side: of two, SQLite walks from one and compares every row with
    the other.
    """
    [ids] = walk.selected_columns
    low = None if which.created_after is None else first_uuid7(which.created_after)
    high = None if which.created_before is None else first_uuid7(which.created_before)
    if after is not None and newest:
        high = after if high is None else min(high, after)
    elif after is not None and (low is None or after >= low):
        walk, low = walk.where(ids > after), None
    if low is not None:
        walk = walk.where(ids >= low)
    if high is not None:
        walk = walk.where(ids < high)
    return walk.order_by(ids.desc() if newest else ids.asc()).limit(limit)
