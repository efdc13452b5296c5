"""Everything that `fastapi-jobs check` looks at, in the order in which a person would."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fastapi_jobs.checks.broker import examine_broker, judge_celery
from fastapi_jobs.checks.database import judge_connections, judge_revision, judge_server
from fastapi_jobs.checks.findings import Finding, error, ok
from fastapi_jobs.checks.place import (
    judge_admin,
    judge_environment,
    judge_file_system,
    judge_free_space,
    judge_settings,
    read_mounts,
    real_file,
)
from fastapi_jobs.checks.redis import examine_redis
from fastapi_jobs.checks.running import (
    is_stale,
    judge_children,
    judge_hosts,
    judge_lanes,
    judge_queues,
    judge_workers,
)
from fastapi_jobs.checks.tasks import judge_tasks
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.rules import cores
from fastapi_jobs.errors import DriverMissing, StoreUnavailable
from fastapi_jobs.process_identity import machine
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import HEAD
from fastapi_jobs.store.probe import Snapshot, look


def examine(settings: Settings) -> list[Finding]:
    """Judge settings, code, database, workers, queues and broker; import the task modules, write
    nothing.

    Where one thing is broken, the rest is judged all the same as far as it can be.
    """
    files = ", ".join(map(str, settings.files)) or "no settings.toml, only the shipped defaults"
    found = [ok("settings", f"Environment {settings.environment!r} ({files}).")]
    found += judge_environment(settings, os.environ)
    found += judge_settings(settings)
    found += judge_admin(settings)
    found += judge_tasks(settings)
    found += _examine_database(settings)
    found += examine_broker(settings)
    found += examine_redis(settings)
    return found


def _examine_database(settings: Settings) -> Iterator[Finding]:
    file = sqlite_file(settings)
    if file is not None:
        yield from judge_file_system(real_file(str(file)), read_mounts())
        yield from judge_free_space(file)
        if not file.exists() and settings.migrate is not False:
            yield ok("database", f"The SQLite file {file} is made at the first start.")
            return
    try:
        database = Database(settings.database_url, durability=settings.durability)
    except DriverMissing as problem:
        yield error("database", str(problem))
        return
    except OSError as problem:
        yield error("database", f"database_url: {problem}.")
        return
    try:
        seen = look(database)
    except StoreUnavailable as problem:
        yield error("database", f"{problem}. {reach_cure(settings)}")
        return
    finally:
        database.dispose()
    if seen.revision is None and database.is_sqlite and settings.migrate is not False:
        yield ok("migration", f"The tables of {database.name} are made at the first start.")
    else:
        yield judge_revision(database.name, seen.revision)
    yield from judge_server(database.name, seen)
    if seen.revision == HEAD:
        yield from judge_running(settings, seen, utc_now(), is_sqlite=database.is_sqlite)


def judge_running(
    settings: Settings, seen: Snapshot, now: datetime, *, is_sqlite: bool
) -> Iterator[Finding]:
    """Workers, queues and what waits, as one look showed them."""
    stale = [each for each in seen.workers if is_stale(each, now, settings.lease_seconds)]
    gone = {each.id for each in stale}
    live = [each for each in seen.workers if each.id not in gone]
    yield from judge_workers(live, stale, now)
    yield from judge_children(settings, live, machine(), cores())
    if seen.connections is not None:
        yield from judge_connections(settings, seen.connections, live)
    if is_sqlite:
        yield from judge_hosts(live)
    yield from judge_queues(settings, seen.queues, seen.lanes)
    yield from judge_lanes(settings, seen.lanes, live)
    yield from judge_celery(settings, live)


def sqlite_file(settings: Settings) -> Path | None:
    """The SQLite file of these settings, None on PostgreSQL."""
    scheme, _, rest = settings.database_url.partition(":///")
    return Path(rest.partition("?")[0]) if scheme == "sqlite" else None


def reach_cure(settings: Settings) -> str:
    """What to do about a database that does not answer."""
    origin = settings.origins.get("database_url", "settings")
    if sqlite_file(settings) is not None:
        return f"Can this account read and write the file? database_url comes from {origin}."
    return f"Does the server run, and is database_url right? It comes from {origin}."
