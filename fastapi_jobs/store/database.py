"""One database: how its connections are made, and what its errors mean."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from fastapi_jobs.errors import DriverMissing, StoreUnavailable
from fastapi_jobs.store.stalls import Waits

BUSY_SECONDS = 1.0
"""How long one SQLite statement waits for another process's write lock before it is repeated, and
whoever waited too long is told."""

CACHED_STATEMENTS = 300
"""Statements that SQLite's driver keeps prepared: those of the writer's batches, of each size."""

LOCK_MILLISECONDS = 100
"""How long a shared PostgreSQL transaction waits for a row that somebody else holds."""


ALONE_LOCK_MILLISECONDS = 20
"""The same for the writer of unique keys, which tries again and again."""


CONNECTIONS = 9
"""How many PostgreSQL connections a busy process has open: two writers, the heartbeat, the watcher,
four readers, and one more for whatever looks."""


NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
"""When a connection counts as lost: what is sent is not acknowledged, or nobody is there any more.
What the URL says wins."""


class Trouble(Enum):
    """What an exception of the driver says about trying again."""

    AWAY = "away"  # lost, refused, restarting: the same work again on a new connection
    LOCKED = "locked"  # somebody holds the lock: the same work again later
    FULL = "full"  # no space: again later, but new jobs are refused at once
    OURS = "ours"  # the statement itself: again would be no better


class Database:
    """The engines of one database URL, and the little that differs between the two dialects."""

    def __init__(self, url: str, *, durability: str = "full") -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = self.url.render_as_string(hide_password=True)
        self._durability = durability
        self.waits = Waits()
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.writing = self._engine(writing=True)
        self.reading = self._engine(writing=False)
        self.encode_id: Callable[[UUID], str] = _hex
        self.encode_time: Callable[[datetime], str] = (
            _sqlite_time if self.is_sqlite else datetime.isoformat
        )

    def _engine(self, *, writing: bool) -> Engine:
        if not self.is_sqlite:
            arguments = {
                name: value for name, value in NETWORK.items() if name not in self.url.query
            }
            try:
                engine = create_engine(
                    self.url,
                    connect_args=arguments,
                    pool_size=2 if writing else 5,
                    max_overflow=10,
                    isolation_level="READ COMMITTED" if writing else "AUTOCOMMIT",
                )
            except ImportError as error:
                package = error.name or self.url.get_driver_name()
                is_missing = isinstance(error, ModuleNotFoundError)
                problem = "" if is_missing else str(error).partition("\n")[0].rstrip(".")
                raise DriverMissing(self.name, package, problem) from error
            event.listen(engine, "connect", self.waits.opened, insert=True)
            event.listen(engine, "connect", _without_jit)
            if writing:
                event.listen(engine, "connect", self._tune_postgresql)
            return engine
        engine = create_engine(
            self.url,
            connect_args={
                "timeout": BUSY_SECONDS,
                "check_same_thread": False,
                "cached_statements": CACHED_STATEMENTS,
            },
            **({"poolclass": NullPool} if writing else {"pool_size": 5, "max_overflow": 10}),
        )
        event.listen(engine, "connect", self._tune_sqlite(writing=writing))
        if writing:
            event.listen(engine, "begin", _begin_immediate)
        return engine

    def _tune_sqlite(self, *, writing: bool) -> Callable[[Any, Any], None]:
        synchronous = "FULL" if self._durability == "full" else "NORMAL"

        def tune(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute(f"PRAGMA synchronous = {synchronous}")
            cursor.execute("PRAGMA cache_size = -16000")
            if not writing:
                cursor.execute("PRAGMA query_only = ON")
            cursor.close()

        return tune

    def _tune_postgresql(self, connection: Any, _record: object) -> None:
        commit = "on" if self._durability == "full" else "off"
        with connection.cursor() as cursor:
            cursor.execute(f"SET synchronous_commit = {commit}")
            cursor.execute(f"SET lock_timeout = {LOCK_MILLISECONDS}")
            # Every statement of the writer names its rows by an index. Fresh tables have stale
            # statistics, by which a planner would rather scan.
            for way in ("seqscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET enable_{way} = off")
            cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        connection.commit()

    def trouble(self, error: BaseException) -> Trouble:
        """What `error` means for trying again."""
        if isinstance(error, DBAPIError) and error.orig is not None:
            if error.connection_invalidated:
                return Trouble.AWAY
            error = error.orig
        return _sqlite_trouble(error) if self.is_sqlite else _postgresql_trouble(error)

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """The error a caller gets when waiting was in vain."""
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else repr(cause)
        return StoreUnavailable(self.name, reason)

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A connection that reads, cut when the server says nothing for too long."""
        if self.is_sqlite:
            with self.reading.connect() as connection:
                yield connection
            return
        pool = self.reading.pool
        with self.waits.counted() as wait, self.reading.connect() as connection:
            wait.connection = connection.connection.driver_connection
            try:
                yield connection
            finally:
                if self.reading.pool is not pool:  # disposed: nobody else would close it
                    connection.invalidate()

    def ping(self) -> None:
        """Read once.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        try:
            with self.reader() as connection:
                connection.execute(text("SELECT 1"))
        except (OperationalError, InterfaceError, DBAPIError, OSError) as error:
            raise self.unavailable(error) from error

    def forget_connections(self) -> None:
        """After a fork: the connections are the parent's; leave them alone and make new ones."""
        self.writing.dispose(close=False)
        self.reading.dispose(close=False)

    def dispose(self) -> None:
        """Close every connection."""
        self.writing.dispose()
        self.reading.dispose()


def _without_jit(connection: Any, _record: object) -> None:
    # A way that is off has a cost beyond every threshold. Once a small table is analyzed, the
    # planner goes that way all the same, and compiles it: 30 ms for what runs in 0.01 ms.
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
    connection.commit()


def _begin_immediate(connection: Any) -> None:
    # A deferred transaction that reads first and then writes fails at once on a newer snapshot,
    # whatever the busy timeout. By the driver itself: SQLAlchemy's way costs as much as the commit.
    begin = "BEGIN IMMEDIATE"
    try:
        connection.connection.driver_connection.execute(begin)
    except sqlite3.OperationalError as error:
        raise OperationalError(begin, None, error) from error


def _hex(value: UUID) -> str:
    return value.int.to_bytes(16, "big").hex()  # a third of the time of `value.hex`


def _sqlite_time(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")[:26]


def _sqlite_trouble(error: BaseException) -> Trouble:
    if isinstance(error, sqlite3.OperationalError):
        words = str(error)
        if "locked" in words or "busy" in words:
            return Trouble.LOCKED
        if "full" in words or "disk I/O" in words:
            return Trouble.FULL
        if "unable to open" in words:
            return Trouble.AWAY
    return Trouble.OURS


# Classes of SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = ("08", "57P", "53300", "25006", "25P03")
_LOCKED = ("55P03", "40001", "40P01", "57014")
_FULL = ("53100", "53200", "53400", "58030")


def _postgresql_trouble(error: BaseException) -> Trouble:
    state = getattr(error, "sqlstate", None)
    if state is None:
        # psycopg gives no state when the connection broke before the server could speak.
        lost = type(error).__name__ in {"OperationalError", "InterfaceError", "ConnectionTimeout"}
        return Trouble.AWAY if lost or isinstance(error, OSError) else Trouble.OURS
    if state.startswith(_LOCKED):
        return Trouble.LOCKED
    if state.startswith(_FULL):
        return Trouble.FULL
    return Trouble.AWAY if state.startswith(_AWAY) else Trouble.OURS
