"""Reads. Lists walk an index from a cursor; nothing here scans or counts without a cap (law 13)."""

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Subquery,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
)

from fastapi_jobs.clock import moment_of
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
    jobs,
    loaded,
    logs,
    queues,
    values,
    workers,
)
from fastapi_jobs.store.walks import Walk, walk_of

SCAN_LIMIT = 1000
"""Rows that one page may look at where two conditions have no common index."""

FIRST_LOOK = 4
"""Before, so many are looked at for each wanted one: mostly that fills the page."""

TEXT_WINDOW = 5000
"""A text is searched in so many of the newest jobs that the other conditions allow."""

KEPT = 500
"""Statements of lists that are kept: to build one of many walks takes longer than to run it."""

ERROR_IN_LISTS = 500
COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `next_cursor` is None on the last one."""

    items: Sequence[JobRecord]
    next_cursor: str | None
    window_from: datetime | None = None
    """Where a text is searched: jobs made before it are not looked at; None: all are."""


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


def get_jobs(connection: Connection, job_ids: Collection[UUID]) -> list[JobRecord]:
    """Some jobs as lists show them, oldest first; those that do not exist are absent."""
    statement = select(*_listed_columns()).where(jobs.c.id.in_(job_ids)).order_by(jobs.c.id)
    return _records(connection.execute(statement))


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
    row = connection.execute(_NEXT_DUE).one()
    return min((each for each in row if each is not None), default=None)


_NEXT_DUE = select(
    select(func.min(jobs.c.run_after)).where(has_status(JobStatus.SCHEDULED)).scalar_subquery(),
    select(func.min(jobs.c.expires_at))
    .where(
        jobs.c.expires_at.is_not(None),
        has_status(JobStatus.QUEUED, JobStatus.SCHEDULED),
        NEVER_STARTED,
    )
    .scalar_subquery(),
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
    window = _window(connection, which)
    for status in JobStatus:
        only = replace(which, statuses=[status])
        walk, given = walk_of(connection.dialect.name, only, oldest=window)
        statement = _count_statement(walk)
        counts[status] = int(connection.execute(statement, given | {"scan": cap}).scalar_one())
    return counts


def list_jobs(
    connection: Connection,
    which: JobFilter,
    *,
    limit: int = 50,
    cursor: str | None = None,
    newest: bool = True,
    whole: bool = False,
) -> Page:
    """One page in the order of creation. Unless `whole`, arguments and results are left out and
    errors are cut.

    A page may hold fewer than `limit` items and still have a `next_cursor`: where two conditions
    share no index, one page looks at little more than SCAN_LIMIT rows.

    Raises:
        InvalidCursor: `cursor` is not one of ours.
    """
    after = None if cursor is None else read_cursor(cursor)
    window = _window(connection, which)
    walk, given = walk_of(connection.dialect.name, which, newest=newest, after=after, oldest=window)
    lead = walk.leads[0]
    if which.text is not None or not walk.rest(lead):
        # Of the newest jobs that hold a text, all are looked at: there is no last one.
        scan = limit + 1 if which.text is None else TEXT_WINDOW
        given |= {"scan": scan, "wanted": limit + 1}
        items = _records(connection.execute(_page_statement(walk, lead, whole), given))
        return _page(items, limit, None, window)
    given |= {"scan": min((limit + 1) * FIRST_LOOK, SCAN_LIMIT), "wanted": limit + 1}
    items, last = _look(connection, walk, given, lead, whole)
    if last is not None and len(items) <= limit:
        walk, given = walk_of(connection.dialect.name, which, newest=newest, after=last)
        given |= {"scan": SCAN_LIMIT, "wanted": limit + 1 - len(items)}
        more, last = _look(connection, walk, given, _rarest(connection, walk, given), whole)
        items += more
    return _page(items, limit, last)


def _page(
    items: list[JobRecord], limit: int, last: UUID | None, window: UUID | None = None
) -> Page:
    if len(items) > limit:
        last = items[limit - 1].id
    cursor = None if last is None else make_cursor(last)
    return Page(items[:limit], cursor, None if window is None else moment_of(window))


def _window(connection: Connection, which: JobFilter) -> UUID | None:
    """The oldest of the newest TEXT_WINDOW jobs, where a text is searched; None: there are no more,
    or none is.
    """
    if which.text is None:
        return None
    walk, given = walk_of(connection.dialect.name, replace(which, text=None))
    given |= {"scan": TEXT_WINDOW, "edge": TEXT_WINDOW - 1}
    edge: UUID | None = connection.execute(_edge_statement(walk, walk.leads[0]), given).scalar()
    return edge


_Given = Mapping[str, Any]


def _look(
    connection: Connection, walk: Walk, given: _Given, lead: str, whole: bool
) -> tuple[list[JobRecord], UUID | None]:
    """Up to `wanted` of the first `scan` jobs that `lead` finds, and the last of those.

    There is no last one when `lead` finds no more than that. Both are of one moment: told by two
    statements, a job made in between could be passed over.
    """
    statement = _look_statement(walk, lead, whole)
    rows = connection.execute(statement, {**given, "edge": given["scan"] - 1}).all()
    return _records(row for row in rows if row.id is not None), rows[0].edge


def _records(rows: Iterable[Row[Any]]) -> list[JobRecord]:
    return [loaded(JobRecord, _LEFT_OUT | values(row)) for row in rows]


_LEFT_OUT = {"args": "{}", "result": None}


def _rarest(connection: Connection, walk: Walk, given: _Given) -> str:
    """The condition whose jobs one look sees all of; else the first."""
    first, *others = walk.leads
    given = {**given, "edge": given["scan"] - 1}
    for lead in others:
        if connection.execute(_edge_statement(walk, lead), given).first() is None:
            return lead
    return first


@lru_cache(KEPT)
def _page_statement(walk: Walk, lead: str, whole: bool) -> Select[Any]:
    return _found_jobs(walk, lead, walk.ids(lead).subquery("found"), whole)


@lru_cache(KEPT)
def _look_statement(walk: Walk, lead: str, whole: bool) -> Select[Any]:
    found = walk.ids(lead).cte("found")
    page = _found_jobs(walk, lead, found, whole).subquery("page")
    looked = select(_edge(walk, found).scalar_subquery().label("edge")).subquery("looked")
    both = looked.outerjoin(page, true())
    return select(looked.c.edge, *page.c).select_from(both).order_by(walk.order(page.c.id))


@lru_cache(KEPT)
def _edge_statement(walk: Walk, lead: str) -> Select[Any]:
    return _edge(walk, walk.ids(lead).subquery("found"))


def _found_jobs(walk: Walk, lead: str, found: Subquery | CTE, whole: bool) -> Select[Any]:
    columns = list(jobs.c) if whole else _listed_columns()
    page = walk.found(lead, found, columns).order_by(walk.order(found.c.id))
    return page.limit(bindparam("wanted", type_=Integer))


def _edge(walk: Walk, found: Subquery | CTE) -> Select[tuple[UUID]]:
    in_order = select(found.c.id).order_by(walk.order(found.c.id))
    return in_order.offset(bindparam("edge", type_=Integer)).limit(literal_column("1"))


@lru_cache(KEPT)
def _count_statement(walk: Walk) -> Select[Any]:
    lead = walk.leads[0]
    found = walk.ids(lead).subquery("found")
    counted = walk.found(lead, found, [jobs.c.id]).subquery() if walk.rest(lead) else found
    return select(func.count()).select_from(counted)


def count_after(
    connection: Connection, which: JobFilter, cursor: str, *, cap: int = COUNT_CAP
) -> int:
    """How many jobs come after `cursor`, oldest first, counted up to `cap`.

    Where two conditions share no index, only `cap` rows of the first are looked at.
    """
    after, window = read_cursor(cursor), _window(connection, which)
    walk, given = walk_of(connection.dialect.name, which, newest=False, after=after, oldest=window)
    return int(connection.execute(_count_statement(walk), given | {"scan": cap}).scalar_one())


def count_all(
    connection: Connection, which: JobFilter, cursor: str | None = None, *, cap: int = COUNT_CAP
) -> tuple[int, bool]:
    """How many jobs there are, of those that come after `cursor`, oldest first; and whether these
    are all: counting stops at `cap` rows of the condition that leads.
    """
    after, window = None if cursor is None else read_cursor(cursor), _window(connection, which)
    walk, given = walk_of(connection.dialect.name, which, newest=False, after=after, oldest=window)
    given |= {"scan": cap + 1, "edge": cap}
    number = int(connection.execute(_count_statement(walk), given).scalar_one())
    is_all = connection.execute(_edge_statement(walk, walk.leads[0]), given).first() is None
    return min(number, cap), is_all


def _listed_columns() -> list[ColumnElement[Any]]:
    short = func.substr(jobs.c.error, 1, ERROR_IN_LISTS).label("error")
    return [short if c.name == "error" else c for c in jobs.c if c.name not in _LEFT_OUT]
