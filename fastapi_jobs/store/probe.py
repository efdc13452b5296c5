"""One look at a database from outside: for `check`, which must neither open nor change anything."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from fastapi_jobs.models import QueueRecord, WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.lanes import Lane, waiting_lanes
from fastapi_jobs.store.migrate import HEAD, current_revision
from fastapi_jobs.store.tables import QUEUED, SUSPECTED, has_status, jobs

WAITING_CAP = 1000


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a PostgreSQL server allows, and how many are open."""

    allowed: int
    open: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one look showed. Without our tables only the revision and the server are known."""

    revision: str | None
    clock_ahead: float = 0.0
    """Seconds by which the server's clock is ahead of this machine's."""
    pooled: bool = False
    """A pooler such as pgbouncer stands between."""
    connections: Connections | None = None
    unsafe: Sequence[str] = ()
    """The server's settings that may lose what was committed, such as `fsync`, and are off."""
    workers: Sequence[WorkerRecord] = ()
    queues: Sequence[QueueRecord] = ()
    lanes: Sequence[tuple[Lane, int]] = ()
    """The waiting jobs of each lane, counted up to WAITING_CAP."""


def look(database: Database) -> Snapshot:
    """Look once.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    revision = current_revision(database)
    try:
        with database.reading.connect() as connection:
            ahead = 0.0 if database.is_sqlite else _clock_ahead(connection)
            pooled = not database.is_sqlite and _is_pooled(connection)
            limits = None if database.is_sqlite else _connections(connection)
            unsafe = [] if database.is_sqlite else _unsafe(connection)
            if revision != HEAD:
                return Snapshot(revision, ahead, pooled, limits, unsafe)
            seen = look_at_jobs(connection)
            return replace(
                seen, clock_ahead=ahead, pooled=pooled, connections=limits, unsafe=unsafe
            )
    except (DBAPIError, OSError) as error:
        raise database.unavailable(error) from error


def look_at_jobs(connection: Connection) -> Snapshot:
    """Who runs, what people changed about queues, and what waits; nothing about the server."""
    return Snapshot(
        HEAD,
        workers=queries.get_workers(connection),
        queues=queries.get_queues(connection),
        lanes=_waiting_in_lanes(connection),
    )


def waiting_queues(connection: Connection) -> list[str]:
    """The queues that have queued jobs."""
    return sorted({lane.queue for lane in waiting_lanes(connection)})


_LANE = (jobs.c.queue, jobs.c.task, jobs.c.backend)


def _waiting_in_lanes(connection: Connection) -> list[tuple[Lane, int]]:
    """The waiting jobs of each lane: suspects are few, the others in the order of the index."""
    suspects = select(jobs.c.id, *_LANE).where(has_status(JobStatus.QUEUED), SUSPECTED)
    some = suspects.limit(WAITING_CAP).subquery()
    lane = [some.c[each.name] for each in _LANE]
    grouped = connection.execute(select(*lane, func.count()).group_by(*lane))
    found = Counter({Lane(*row[:3]): int(row[3]) for row in grouped})
    for each in waiting_lanes(connection):
        found[each] += _waiting(connection, each)
    return sorted((each, min(count, WAITING_CAP)) for each, count in found.items())


def _waiting(connection: Connection, lane: Lane) -> int:
    key = [column == value for column, value in zip(_LANE, lane, strict=True)]
    # The order makes every planner walk the index on claims.
    some = select(jobs.c.id).where(QUEUED, *key).order_by(jobs.c.priority.desc(), jobs.c.id)
    capped = some.limit(WAITING_CAP).subquery()
    return int(connection.execute(select(func.count()).select_from(capped)).scalar_one())


def _connections(connection: Connection) -> Connections:
    statement = text(
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    allowed, used = connection.execute(statement).one()
    return Connections(allowed, used)


def _unsafe(connection: Connection) -> list[str]:
    statement = text(
        "SELECT name FROM pg_settings"
        " WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
    )
    return list(connection.execute(statement).scalars())


def _clock_ahead(connection: Connection) -> float:
    asked = time.time()
    server: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    # Somewhere in between the server looked at its clock: only what is beyond that is certain.
    said, answered = server.timestamp(), time.time()
    return said - min(max(said, asked), answered)


def _is_pooled(connection: Connection) -> bool:
    # The server tells its process id at log-in and to whoever asks. A pooler answers the log-in
    # itself, with a number of its own.
    driver: Any = connection.connection.driver_connection
    own: int = connection.execute(select(func.pg_backend_pid())).scalar_one()
    return bool(driver.info.backend_pid != own)
