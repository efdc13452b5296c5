"""The database: reachable, migrated, with a clock that agrees, and not behind a pooler."""

from collections.abc import Iterator, Sequence

from fastapi_jobs.checks.findings import Finding, error, ok, warning
from fastapi_jobs.conf import Settings
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.store.database import CONNECTIONS
from fastapi_jobs.store.migrate import HEAD
from fastapi_jobs.store.probe import Connections, Snapshot

CLOCK_SECONDS = 2.0


def judge_revision(database: str, found: str | None) -> Finding:
    """Are the tables those of this version?"""
    if found == HEAD:
        return ok("migration", f"The database {database} answers and is at revision {HEAD}.")
    if is_newer(found):
        return error(
            "migration",
            f"The database {database} is at revision {found}, which this version does not know: "
            "a newer fastapi_jobs migrated it. Install that version here too.",
        )
    have = f"is at revision {found}" if found else "has none of our tables"
    return error(
        "migration",
        f"The database {database} {have}; this version needs {HEAD}. Run: fastapi-jobs migrate",
    )


def is_newer(revision: str | None) -> bool:
    """Whether a later version than this one made the tables; revisions are numbered."""
    return revision is not None and revision > HEAD


def judge_connections(
    settings: Settings, seen: Connections, live: Sequence[WorkerRecord]
) -> Iterator[Finding]:
    """Are there connections enough for every process, and for one more?"""
    wanted = len(live) * CONNECTIONS
    origin = settings.origins.get("database_url", "settings")
    if wanted > seen.allowed:
        yield warning(
            "connections",
            f"{len(live)} workers open up to {CONNECTIONS} connections each, {wanted:,} in all; "
            f"the server of database_url ({origin}) allows {seen.allowed:,}. Raise "
            "max_connections, run fewer processes, or put a pooler in session mode between.",
        )
    elif seen.allowed - seen.open < CONNECTIONS:
        yield warning(
            "connections",
            f"{seen.open:,} of {seen.allowed:,} connections of the server are taken; one more "
            f"process needs up to {CONNECTIONS}. Raise max_connections, or close what is idle.",
        )


def judge_server(database: str, seen: Snapshot) -> Iterator[Finding]:
    """What stands between this machine and a PostgreSQL server."""
    if seen.pooled:
        yield warning(
            "pooler",
            f"A pooler (pgbouncer?) stands before {database}. In transaction mode it drops the "
            "session settings and wake-ups this package relies on. Use pool_mode = session, or "
            "the port of the server itself.",
        )
    if seen.unsafe:
        names = " and ".join(f"{name} = off" for name in seen.unsafe)
        yield warning(
            "unsafe-server",
            f"The server of {database} has {names}: after a power cut its data may be lost or "
            "damaged, whatever durability says. Turn it on, then restart the server.",
        )
    if abs(seen.clock_ahead) > CLOCK_SECONDS:
        way = "ahead of" if seen.clock_ahead > 0 else "behind"
        yield warning(
            "clock",
            f"The clock of {database} is {abs(seen.clock_ahead):.1f} s {way} this machine's: "
            "run_after and expires are off by as much. Let NTP set both.",
        )
