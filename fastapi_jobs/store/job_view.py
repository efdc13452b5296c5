"""All that a page about one job shows, in one read. Every look walks an index and is capped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import Connection, Text, func, literal_column, null, select, type_coerce

from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord, WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.tables import attempts, jobs, loaded, logs, values

MOST_ATTEMPTS = 50
"""So many of its newest attempts are told of."""

NEIGHBOURS = 5
"""How many jobs of its task, made before it and after it, are named."""

SAME_KEY = 100
"""Among so many neighbours on each side those of its unique key are looked for."""

NAMED = 10
"""So many ids in its metadata are followed."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Jobs that have to do with it, newest first."""

    same_task: Sequence[JobRecord]
    same_key: Sequence[JobRecord]
    named: Mapping[str, tuple[UUID, JobStatus]]
    """Jobs whose ids stand in its metadata, by the key there."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One job and what is around it."""

    job: JobRecord
    attempts: Sequence[AttemptRecord]
    """The newest ones, oldest first, their tracebacks left out."""
    shown: AttemptRecord | None
    """The attempt that was asked for, with its traceback; else the newest."""
    logs: Sequence[LogRecord]
    """A page of that attempt's lines, oldest first."""
    older_logs: bool
    """Whether there are lines before those."""
    workers: Mapping[UUID, WorkerRecord]
    neighbours: Neighbours


def view_job(
    connection: Connection,
    job_id: UUID,
    *,
    attempt: int | None = None,
    before: int | None = None,
    lines: int = 100,
) -> JobView | None:
    """A job with its newest attempts, and of one attempt the traceback and the log lines before
    the line `before`, else the last ones.
    """
    job = queries.get_job(connection, job_id)
    if job is None:
        return None
    found = _attempts(connection, job_id)
    number = job.attempt if attempt is None else attempt
    page = last_logs(connection, job_id, number, before=before, limit=lines + 1)
    return JobView(
        job=job,
        attempts=found,
        shown=get_attempt(connection, job_id, number),
        logs=page[-lines:],
        older_logs=len(page) > lines,
        workers={each.id: each for each in queries.get_workers(connection)},
        neighbours=_neighbours(connection, job),
    )


def _attempts(connection: Connection, job_id: UUID) -> list[AttemptRecord]:
    short = func.substr(attempts.c.error, 1, queries.ERROR_IN_LISTS).label("error")
    left_out = type_coerce(null(), Text).label("traceback")
    instead = {"error": short, "traceback": left_out}
    columns = [instead.get(each.name, each) for each in attempts.c]
    newest = select(*columns).where(attempts.c.job_id == job_id)
    newest = newest.order_by(attempts.c.number.desc()).limit(literal_column(str(MOST_ATTEMPTS)))
    rows = connection.execute(newest).all()
    return [loaded(AttemptRecord, values(row)) for row in reversed(rows)]


def get_attempt(connection: Connection, job_id: UUID, number: int) -> AttemptRecord | None:
    """One run of a job, with its traceback."""
    statement = select(attempts).where(attempts.c.job_id == job_id, attempts.c.number == number)
    row = connection.execute(statement).first()
    return None if row is None else loaded(AttemptRecord, values(row))


def last_logs(
    connection: Connection, job_id: UUID, attempt: int, *, before: int | None, limit: int
) -> list[LogRecord]:
    """The last lines of an attempt, or the last before one of them, in their order."""
    statement = select(logs).where(logs.c.job_id == job_id, logs.c.attempt == attempt)
    if before is not None:
        statement = statement.where(logs.c.number < before)
    rows = connection.execute(statement.order_by(logs.c.number.desc()).limit(limit)).all()
    return [loaded(LogRecord, values(row)) for row in reversed(rows)]


def _neighbours(connection: Connection, job: JobRecord) -> Neighbours:
    which = JobFilter(task=job.task)
    many = NEIGHBOURS if job.unique_key is None else SAME_KEY
    cursor = queries.make_cursor(job.id)
    before = queries.list_jobs(connection, which, limit=many, cursor=cursor).items
    after = queries.list_jobs(connection, which, limit=many, cursor=cursor, newest=False).items
    near = [*reversed(after), *before]
    same_key = [each for each in near if job.unique_key and each.unique_key == job.unique_key]
    holder = _holder(connection, job)
    if holder is not None and all(each.id != holder.id for each in same_key):
        same_key = [holder, *same_key]
    near = [*reversed(after[:NEIGHBOURS]), *before[:NEIGHBOURS]]
    return Neighbours(near, same_key[: 2 * NEIGHBOURS], _named(connection, job))


def _holder(connection: Connection, job: JobRecord) -> JobRecord | None:
    """Another job, however old, that holds its unique key."""
    if job.unique_key is None:
        return None
    held = select(jobs.c.id).where(jobs.c.unique_slot == job.unique_key, jobs.c.id != job.id)
    row = connection.execute(held).first()
    return None if row is None else queries.get_job(connection, row.id)


def _named(connection: Connection, job: JobRecord) -> dict[str, tuple[UUID, JobStatus]]:
    found: dict[str, UUID] = {}
    for name, value in (from_json(job.meta) if job.meta else {}).items():
        if isinstance(value, str) and len(value) == len(str(job.id)) and len(found) < NAMED:
            try:
                found[name] = UUID(value)
            except ValueError:
                continue
    statuses = queries.get_status(connection, list(found.values())) if found else {}
    return {name: (each, statuses[each]) for name, each in found.items() if each in statuses}
