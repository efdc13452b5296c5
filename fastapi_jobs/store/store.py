"""One database with its writer, its readers and its hints."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.store.database import ALONE_LOCK_MILLISECONDS, Database, Trouble
from fastapi_jobs.store.migrate import HEAD, current_revision, require_head, upgrade
from fastapi_jobs.store.pending import Waiter
from fastapi_jobs.store.redis_hints import RedisHints
from fastapi_jobs.store.stalls import CUT_SECONDS, Sweeper
from fastapi_jobs.store.transaction import Hints, Operation
from fastapi_jobs.store.writer import Writer

R = TypeVar("R")
P = ParamSpec("P")

READERS = 4
DEFAULT_NAME = "fastapi_jobs"


class Store:
    """Everything that touches the database goes through here."""

    def __init__(
        self,
        url: str,
        *,
        durability: str = "full",
        auto_migrate: bool | None = None,
        timeout: float = 10.0,
        redis: RedisHints | None = None,
    ) -> None:
        self.redis = redis
        """How other processes are told of commits, where the settings name a Redis."""
        self.database = Database(url, durability=durability)
        self.auto_migrate = self.database.is_sqlite if auto_migrate is None else auto_migrate
        self._timeout = timeout
        self._sweeper: Sweeper | None = None
        self._listeners: list[Callable[[Hints], None]] = []
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._aside: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        _stores.add(self)

    def forget_threads(self) -> None:
        """After a fork: the child has none of the parent's threads; it opens its own when asked."""
        self._lock = threading.Lock()
        self._writer = self._aside = self._readers = self._sweeper = None
        if self.redis is not None:
            self.redis.forget_threads()
        self.database.forget_connections()

    def open(self) -> None:
        """Check (or make) the tables and start the threads; repeated, it does nothing.

        Raises:
            NotMigrated: the tables are missing or of another version.
            StoreUnavailable: the database does not answer.
        """
        with self._lock:
            if self._writer is not None:
                return
            try:
                if self.auto_migrate:
                    migrate(self.database)
                else:
                    require_head(self.database)
            except Exception:
                self.database.dispose()
                raise
            if not self.database.is_sqlite:
                self._aside = Writer(
                    self.database,
                    on_commit=self._heard,
                    name="fastapi-jobs-writer-aside",
                    max_batch=1,
                    lock_milliseconds=ALONE_LOCK_MILLISECONDS,
                    timeout=self._timeout,
                )
            self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="fastapi-jobs-reader")
            self._writer = Writer(
                self.database, on_commit=self._heard, aside=self._aside, timeout=self._timeout
            )
            if self._aside is not None:
                self._sweeper = Sweeper(
                    self.database.waits,
                    [self._writer.tell_the_late, self._aside.tell_the_late],
                    cut_seconds=max(CUT_SECONDS, 4 * self._timeout),
                )

    @property
    def is_open(self) -> bool:
        """Whether it may be written and read."""
        return self._writer is not None

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now, or None."""
        return None if self._writer is None else self._writer.trouble

    @property
    def commits(self) -> int:
        """How many transactions this process has committed here."""
        return 0 if self._writer is None else self._writer.commits

    def listen(self, listener: Callable[[Hints], None]) -> Callable[[], None]:
        """Call `listener` from the writer's thread after commits of interest; returns the undo."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _heard(self, hints: Hints) -> None:
        for listener in list(self._listeners):
            listener(hints)
        if self.redis is not None:
            self.redis.tell(hints)

    def write(self, operation: Operation[R]) -> "asyncio.Future[R]":
        """Commit `operation`; to be awaited. A coroutine here would cost every job a task.

        Raises:
            StoreUnavailable: the database was away for longer than the operation's patience.
        """
        return self._writer_for(operation).write(operation)

    def write_for(
        self,
        waiter: Waiter[R],
        operation: Operation[R],
        loop: asyncio.AbstractEventLoop,
        caller: Waiter[R] | None = None,
    ) -> None:
        """The same for a waiter of one's own, told on `loop`, which is the running one.

        `caller` alone is told when the patience ends while the operation is with the server; what
        becomes of it, the caller hears after the waiter.
        """
        self._writer_for(operation).write_for(waiter, operation, loop, caller)

    def write_sync(self, operation: Operation[R]) -> R:
        """The same, blocking."""
        return self._writer_for(operation).write_sync(operation)

    def send(self, operation: Operation[Any]) -> None:
        """Commit `operation` some time soon; nobody waits for the answer."""
        self._writer_for(operation).send(operation)

    def _writer_for(self, operation: Operation[R]) -> Writer:
        writer = self._aside if operation.alone and self._aside is not None else self._writer
        if writer is None:
            self.open()
            return self._writer_for(operation)
        return writer

    async def read(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a function of `queries` on a reader's thread.

        Raises:
            StoreUnavailable: the database does not answer within `store_timeout`.
        """
        if self._readers is None:
            self.open()
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._readers, lambda: self._read(query, *args, **kwargs))
        try:
            async with asyncio.timeout(self._timeout):
                return await reading
        except TimeoutError:
            raise self._no_answer() from None

    def _no_answer(self) -> StoreUnavailable:
        return StoreUnavailable(self.database.name, f"no answer for {self._timeout:g} s")

    def read_sync(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The same, blocking."""
        readers = self._readers
        if readers is None:
            self.open()
            return self.read_sync(query, *args, **kwargs)
        reading = readers.submit(lambda: self._read(query, *args, **kwargs))
        try:
            return reading.result(self._timeout)
        except TimeoutError:
            reading.cancel()
            raise self._no_answer() from None

    def _read(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        tries = 3
        while True:
            try:
                with self.database.reader() as connection:
                    return query(connection, *args, **kwargs)
            except (DBAPIError, PoolTimeout, OSError) as error:
                tries -= 1
                if self.database.trouble(error) is Trouble.OURS:
                    raise
                if tries == 0 or self._writer is None:
                    raise self.database.unavailable(error) from error

    def close(self, timeout: float = 5.0) -> None:
        """Commit what waits, end the threads, close the connections."""
        with self._lock:
            writer, self._writer = self._writer, None
            aside, self._aside = self._aside, None
            readers, self._readers = self._readers, None
            sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.hurry(timeout)
        if writer is not None:
            writer.close(timeout)
        if aside is not None:
            aside.close(timeout)
        if self.redis is not None:
            self.redis.close()
        if readers is not None:
            readers.shutdown(wait=True)
        if sweeper is not None:
            sweeper.close()
        self.database.dispose()


def store_of(settings: Settings) -> Store:
    """The store of these settings, not open yet."""
    return Store(
        settings.database_url,
        durability=settings.durability,
        auto_migrate=None if settings.migrate == "auto" else settings.migrate,
        timeout=settings.store_timeout,
        redis=redis_hints_of(settings),
    )


def redis_hints_of(settings: Settings) -> RedisHints | None:
    """How processes with these settings tell each other of commits, where they name a Redis."""
    url = settings.redis_url
    return None if url is None else RedisHints(url, settings.name or DEFAULT_NAME)


def migrate(database: Database) -> None:
    """Bring the tables to this version, looking first whether there is anything to do."""
    if current_revision(database) != HEAD:
        upgrade(database)


def ping(connection: Connection) -> bool:
    """A read that proves that the database answers."""
    return connection.execute(select(1)).scalar() == 1


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


def _forget_threads() -> None:
    for store in list(_stores):
        store.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)
