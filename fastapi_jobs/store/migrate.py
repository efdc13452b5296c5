"""Bringing the tables to this version. Alembic is loaded only when there is something to do."""

import threading
import time
from collections.abc import Callable
from importlib.metadata import version as _installed
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from fastapi_jobs.errors import NotMigrated
from fastapi_jobs.models import TABLE_PREFIX
from fastapi_jobs.store.database import Database, Trouble

T = TypeVar("T")

HEAD = "0003"
"""The newest revision; a test holds it against the scripts."""

VERSION_TABLE = f"{TABLE_PREFIX}alembic_version"

LOCK_PATIENCE = 30.0
"""Seconds to wait for another process that holds SQLite's write lock, most likely to migrate."""

# Alembic keeps its context in module globals: one migration at a time in a process.
_one_at_a_time = threading.Lock()


def current_revision(database: Database) -> str | None:
    """The revision of the tables, or None where there are none.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    return _once_unlocked(database, lambda: _find_revision(database))


def _find_revision(database: Database) -> str | None:
    with database.reading.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
        return None if row is None else str(row[0])


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the tables to `revision`; safe when several processes start at once.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with _one_at_a_time:
        _once_unlocked(database, lambda: _upgrade(database, revision))


def _upgrade(database: Database, revision: str) -> None:
    from alembic import command  # this takes a while: before anything is locked

    with database.writing.connect() as connection, connection.begin():
        if not database.is_sqlite:
            lock = "SELECT pg_advisory_xact_lock(hashtextextended('fastapi_jobs migrate', 0))"
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text(lock))
        command.upgrade(alembic_config(connection), revision)


def _once_unlocked(database: Database, step: Callable[[], T]) -> T:
    # SQLite's busy timeout does not cover everything: turning WAL on fails at once while another
    # process writes.
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            return step()
        except (DBAPIError, OSError) as error:
            locked = database.trouble(error) is Trouble.LOCKED
            if not locked or time.monotonic() > deadline:
                raise database.unavailable(error) from error
        time.sleep(0.02)


def alembic_config(connection: Connection | None = None) -> Any:
    """Alembic's configuration for our scripts."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "fastapi_jobs:store/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def require_head(database: Database) -> None:
    """Refuse tables of another version.

    Raises:
        NotMigrated: with the command to run.
        StoreUnavailable: the database does not answer.
    """
    found = current_revision(database)
    if found != HEAD:
        raise NotMigrated(
            database.name, found, f"{HEAD} (fastapi_jobs {_installed('fastapi-jobs')})"
        )
