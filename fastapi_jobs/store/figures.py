"""What ended of late and what runs now, for an overview: short walks along an index (law 13)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    DateTime,
    Select,
    func,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)

from fastapi_jobs.status import FINAL, JobStatus
from fastapi_jobs.store.queries import ERROR_IN_LISTS
from fastapi_jobs.store.tables import IS_RUNNING, is_kept_as, is_listed_as, jobs, running

RECENT_CAPS = {JobStatus.SUCCEEDED: 20_000, JobStatus.FAILED: 10_000, JobStatus.CANCELLED: 10_000}
"""How many of the newest jobs of each final status are looked at. Those that did not succeed lie
scattered among the others: each costs a page.
"""

TIMED_TASKS = 50
"""Of so many tasks at most the times are told: of those that failed most, then ran most."""

TIMED_JOBS = 200
"""A task's times are those of so many of its newest jobs that succeeded, and that failed."""

RUNNING_CAP = 5000
"""How many running jobs one look reads."""


@dataclass(slots=True)
class TaskEnds:
    """How the jobs of one task ended of late. Times are seconds, None where none is known."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    run_p50: float | None = None
    """How long the newest attempts of what succeeded or failed ran."""
    run_p95: float | None = None
    wait_p50: float | None = None
    """From when they were due until they started."""
    last_error: str | None = None
    """Of the newest job that failed, cut."""
    last_failed: UUID | None = None
    """The id of that job."""


@dataclass(slots=True)
class RecentEnds:
    """What ended of late."""

    covers_since: datetime
    """Of jobs made before it, some ends are missing: so many ended that not all are looked at."""
    minutes: dict[datetime, Counter[JobStatus]] = field(default_factory=dict)
    """How many ended in each minute, by its beginning; without the minutes in which none did."""
    tasks: dict[str, TaskEnds] = field(default_factory=dict)
    queues: dict[str, Counter[datetime]] = field(default_factory=dict)
    """How many ended in each minute since `lines_since`, by queue."""


def recent_ends(
    connection: Connection,
    *,
    since: datetime,
    lines_since: datetime | None = None,
    caps: Mapping[JobStatus, int] = RECENT_CAPS,
) -> RecentEnds:
    """What ended since then, among the newest jobs of each final status, so many as `caps` says.

    Jobs are found in the order in which they were made: one that waited while so many younger ones
    ended as it did is not found. Without `lines_since` nothing is told of queues.
    """
    found = RecentEnds(since)
    minutes: dict[datetime, Counter[JobStatus]] = defaultdict(Counter)
    tasks: dict[str, Counter[JobStatus]] = defaultdict(Counter)
    for status in sorted(FINAL):
        cap = caps[status]
        for row in connection.execute(_ends(connection, status, since, lines_since, cap)):
            if row.task:
                tasks[row.task][status] += row.ended
            elif row.queue:
                found.queues.setdefault(row.queue, Counter())[row.moment] += row.ended
            elif row.is_edge and row.ended == cap:
                found.covers_since = max(found.covers_since, row.moment)
            elif not row.is_edge:
                minutes[row.moment][status] += row.ended
    found.minutes = dict(sorted(minutes.items()))
    for name, ended in sorted(tasks.items()):
        good, bad, cancelled = (ended[each] for each in _COUNTED)
        found.tasks[name] = TaskEnds(good, bad, cancelled)
    for name in _timed(found.tasks):
        _tell_times(connection, name, found.tasks[name], since)
    return found


_COUNTED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


def _ends(
    connection: Connection,
    status: JobStatus,
    since: datetime,
    lines_since: datetime | None,
    cap: int,
) -> CompoundSelect[Any]:
    """One walk, counted by minute, by task, and by queue and minute; and how far it went: how many
    jobs there were, and when the oldest of them was made.
    """
    newest = (
        select(jobs.c.task, jobs.c.queue, jobs.c.finished_at, jobs.c.created_at)
        .where(is_listed_as(status))
        .order_by(jobs.c.id.desc())
        .limit(literal_column(str(cap)))
        .cte("newest")
    )
    columns = (newest.c.task, newest.c.queue, newest.c.finished_at)
    minute = _minute(connection, newest.c.finished_at).label("moment")
    ended = select(*columns, minute).where(newest.c.finished_at >= since).cte("ended")
    none: ColumnElement[str] = literal_column("''")
    yes: ColumnElement[int] = literal_column("1")
    no: ColumnElement[int] = literal_column("0")
    count = func.count().label("ended")
    edge = func.min(newest.c.created_at, type_=newest.c.created_at.type)
    counts = [
        select(
            *(none.label("task"), none.label("queue"), no.label("is_edge")), ended.c.moment, count
        ).group_by(ended.c.moment),
        select(ended.c.task, none, no, null(), count).group_by(ended.c.task),
        select(none, none, yes, edge, count),
    ]
    if lines_since is not None:
        lines = select(none, ended.c.queue, no, ended.c.moment, count)
        lines = lines.where(ended.c.finished_at >= lines_since)
        counts.append(lines.group_by(ended.c.queue, ended.c.moment))
    return union_all(*counts)


def _minute(connection: Connection, moment: ColumnElement[datetime]) -> ColumnElement[datetime]:
    if connection.dialect.name == "sqlite":
        text = func.substr(moment, literal_column("1"), literal_column("16"))
        return type_coerce(text.concat(literal_column("':00.000000'")), moment.type)
    return func.date_trunc(literal_column("'minute'"), moment, type_=moment.type)


def _timed(tasks: Mapping[str, TaskEnds]) -> list[str]:
    def rank(name: str) -> tuple[int, int]:
        return -tasks[name].failed, -tasks[name].succeeded

    return sorted(tasks, key=rank)[:TIMED_TASKS]


def _tell_times(connection: Connection, name: str, task: TaskEnds, since: datetime) -> None:
    runs: list[float] = []
    waits: list[float] = []
    for status, count in (
        (JobStatus.SUCCEEDED, task.succeeded),
        (JobStatus.FAILED, task.failed),
    ):
        newest = _of_task(name, status, since, jobs.c.attempt, *_TIMES)
        for attempt, run_after, started, finished, made in (
            connection.execute(newest) if count else ()
        ):
            if started is None:
                continue
            runs.append((finished - started).total_seconds())
            due = max(run_after or made, made)
            # Nobody knows since when a job is due that was given back, or is run anew by hand.
            if run_after is not None or attempt == 1:
                waits.append(max((started - due).total_seconds(), 0.0))
    task.run_p50, task.run_p95 = _percentile(runs, 50), _percentile(runs, 95)
    task.wait_p50 = _percentile(waits, 50)
    if task.failed:
        error = func.substr(jobs.c.error, 1, ERROR_IN_LISTS).label("error")
        last = _of_task(name, JobStatus.FAILED, since, jobs.c.id, error, jobs.c.finished_at)
        for row in connection.execute(last.limit(1)):
            task.last_failed, task.last_error = row.id, row.error


_TIMES = [
    # Only their differences matter: to make each of them aware would take longer than the rest.
    type_coerce(jobs.c[name], DateTime(timezone=True)).label(name)
    for name in ("run_after", "started_at", "finished_at", "created_at")
]


def _of_task(
    name: str, status: JobStatus, since: datetime, *columns: ColumnElement[Any]
) -> Select[Any]:
    newest = (
        select(*columns)
        .where(jobs.c.task == name, is_kept_as(status))
        .order_by(jobs.c.id.desc())
        .limit(literal_column(str(TIMED_JOBS)))
        .subquery()
    )
    return select(newest).where(newest.c.finished_at >= since)


def _percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that so many percent do not exceed."""
    if not values:
        return None
    values.sort()
    return values[-(-len(values) * percent // 100) - 1]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs now."""

    id: UUID
    task: str
    queue: str
    worker_id: UUID
    started_at: datetime
    progress: str | None
    """JSON, as the record has it."""


@dataclass(frozen=True, slots=True)
class RunningNow:
    """What runs now."""

    items: Sequence[RunningJob]
    """Those that have run longest, the longest first."""
    by_worker: Mapping[UUID, int]
    """How many jobs each worker runs; of all, not only of `items`."""


def running_now(connection: Connection, limit: int = 50) -> RunningNow:
    """The jobs that run now, up to `limit` of them, and how many each worker has."""
    columns = [jobs.c[name] for name in RunningJob.__slots__]
    # The order makes every planner walk the index, however old its statistics are.
    some = select(*columns).where(IS_RUNNING).order_by(jobs.c.worker_id).limit(RUNNING_CAP)
    read = some.subquery()
    longest = select(read).order_by(read.c.started_at, read.c.id).limit(limit)
    owner = running(jobs.c.worker_id).c.worker_id
    counts = select(owner, func.count()).group_by(owner)
    return RunningNow(
        [RunningJob(*row) for row in connection.execute(longest)],
        {row[0]: int(row[1]) for row in connection.execute(counts)},
    )
