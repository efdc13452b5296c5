"""The one thread that writes: whatever waits goes into one transaction (group commit, law 2).

Nobody waits for a timer: while a commit is under way the next batch gathers by itself.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.failpoints import ARMED, reach
from fastapi_jobs.store.database import Database, Trouble
from fastapi_jobs.store.outbox import Outboxes
from fastapi_jobs.store.pending import Pending, Waiter, deliver
from fastapi_jobs.store.transaction import Hints, Operation, Transaction

logger = logging.getLogger("fastapi_jobs.store")

R = TypeVar("R")

MAX_BATCH = 500
CHANNEL = "fastapi_jobs"
STALLED_SECONDS = 0.1
"""A transaction that takes longer may keep callers beyond their patience."""

PARKED_SECONDS = 0.2
"""How long operations that wait for somebody else's transaction leave the writer to the others."""

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5)


class Writer:
    """A thread with one connection. `alone` operations of PostgreSQL get a writer of their own."""

    def __init__(
        self,
        database: Database,
        *,
        on_commit: Callable[[Hints], None],
        name: str = "fastapi-jobs-writer",
        max_batch: int = MAX_BATCH,
        aside: "Writer | None" = None,
        lock_milliseconds: int | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._database = database
        self._on_commit = on_commit
        self._max_batch = max_batch
        self._aside = aside
        self._lock_milliseconds = lock_milliseconds
        self._timeout = timeout
        self._under_way: Sequence[Pending] = ()
        self._under_way_since = 0.0
        self._parked: deque[Pending] = deque()
        self._parked_until = 0.0
        self._queue: SimpleQueue[list[Pending] | None] = SimpleQueue()
        self._outboxes = Outboxes(self._put_all)
        self._connection: Connection | None = None
        self._closing = threading.Event()
        self._close_by: float | None = None
        self._ended = False
        self.trouble: str | None = None
        """Why nothing can be written now, or None."""
        self.commits = 0
        """How many transactions were committed."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def write(self, operation: Operation[R]) -> "asyncio.Future[R]":
        """Commit `operation`, together with whatever else waits; to be awaited.

        Raises:
            StoreUnavailable: the database was away for longer than the operation's patience.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self.write_for(future, operation, loop)
        return future

    def write_for(
        self,
        waiter: Waiter[R],
        operation: Operation[R],
        loop: asyncio.AbstractEventLoop,
        caller: Waiter[R] | None = None,
    ) -> None:
        """The same for a waiter of one's own, told on `loop`, which is the running one.

        `caller` alone is told when the patience ends while the operation is with the server: the
        waiter hears what becomes of it, and the caller after it.
        """
        self._outboxes.add(loop, Pending(operation, waiter, loop, self._timeout, caller))

    def _put_all(self, some: list[Pending]) -> None:
        for start in range(0, len(some), self._max_batch):
            self._put(some[start : start + self._max_batch])

    def write_sync(self, operation: Operation[R]) -> R:
        """The same for a caller without an event loop."""
        future: Future[R] = Future()
        self.put(Pending(operation, future, None, self._timeout))
        return future.result()

    def send(self, operation: Operation[Any]) -> None:
        """Commit `operation` some time soon; a failure is logged."""
        future: Future[Any] = Future()
        future.add_done_callback(_log_failure)
        self.put(Pending(operation, future, None, self._timeout))

    def put(self, pending: Pending) -> None:
        """Take an operation on; after the end it is refused at once."""
        self._put([pending])

    def _put(self, some: list[Pending]) -> None:
        self._queue.put(some)
        if self._ended:
            # The thread looked for the last time before this was there.
            self._refuse_the_rest()

    def close(self, timeout: float = 5.0) -> None:
        """Commit what waits and end the thread; what cannot be committed in `timeout` s fails."""
        self._close_by = time.monotonic() + timeout
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout + 2 * max(_PAUSES))

    def tell_the_late(self, now: float) -> None:
        """Answer whose patience ends while this thread waits for the server; for the sweeper.

        What is with the server may be committed all the same. The rest will not be sent.
        """
        under_way = self._under_way
        if not under_way or now - self._under_way_since < STALLED_SECONDS:
            return
        late = [
            pending
            for pending in (*under_way, *self._parked.copy(), *self._look_through_queue())
            if pending.deadline is not None and now > pending.deadline and not pending.is_late
        ]
        if late:
            stalled = now - self._under_way_since
            error = StoreUnavailable(self._database.name, f"no answer for {stalled:.1f} s")
            for pending in late:
                pending.tell_late(error)
            logger.warning("%s %d callers were told so.", error, len(late))

    def _look_through_queue(self) -> list[Pending]:
        taken = []
        with suppress(Empty):
            while True:
                taken.append(self._queue.get_nowait())
        for some in taken:
            self._queue.put(some)
        if self._ended:
            self._refuse_the_rest()
        return [pending for some in taken if some is not None for pending in some]

    # The thread's own side.

    def _work(self) -> None:
        last = False
        while not last:
            first = self._next()
            last = first is None
            batch = first or []
            last = self._gather(batch) or last
            self._commit(batch)
        self._disconnect()
        self._ended = True
        self._refuse_the_rest()

    def _next(self) -> list[Pending] | None:
        """New work, or in its pauses one operation that was found waiting for somebody else."""
        if not self._parked:
            return self._queue.get()
        try:
            return self._queue.get(timeout=max(self._parked_until - time.monotonic(), 0))
        except Empty:
            return [self._parked.popleft()]

    def _park(self, pending: Pending, error: Exception) -> None:
        # One that waits costs the others its lock timeout: they get most of the time. What it
        # waits for may be everybody's: the first that goes through lets the others follow at once.
        self._parked.append(pending)
        self._parked_until = time.monotonic() + PARKED_SECONDS
        self._parked = deque(self._still_patient(list(self._parked), error, Trouble.LOCKED))

    def _refuse_the_rest(self) -> None:
        rest = list(self._parked)
        self._parked.clear()
        self._max_batch = 1_000_000
        while self._gather(rest):
            pass
        closed = StoreUnavailable(self._database.name, "the store was closed")
        deliver([(pending, closed) for pending in rest])

    def _gather(self, batch: list[Pending]) -> bool:
        """Fill up `batch` with what waits; True when the end was among it."""
        get = self._queue.get_nowait
        try:
            while len(batch) < self._max_batch:
                some = get()
                if some is None:
                    return True
                batch.extend(some)
        except Empty:
            pass
        return False

    def _commit(self, batch: list[Pending]) -> None:
        tries = 0
        while batch := self._without_the_late(batch):
            try:
                answers, hints = self._transact(batch)
            except Exception as error:
                trouble = self._database.trouble(error)
                if trouble is Trouble.AWAY or isinstance(error, DBAPIError):
                    self._disconnect()
                if not self._try_again(trouble):
                    return self._isolate(batch, error, trouble)
                self._report(error)
                batch = self._still_patient(batch, error, trouble)
                time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
                if not self._closing.is_set():
                    self._gather(batch)
            else:
                if ARMED:
                    _reach_all(batch)
                self._recovered()
                deliver(answers)
                if hints:
                    self._announce(hints)
                return None
        return None

    def _without_the_late(self, batch: list[Pending]) -> list[Pending]:
        if not any(pending.is_late for pending in batch):
            return batch
        error = StoreUnavailable(self._database.name, "its time was over before it was sent")
        deliver([(pending, error) for pending in batch if pending.is_late])
        return [pending for pending in batch if not pending.is_late]

    def _announce(self, hints: Hints) -> None:
        try:
            self._on_commit(hints)
        except Exception:
            # The work is committed, and this thread has more of it: a listener must not end it.
            logger.exception("a listener failed after a commit")

    def _try_again(self, trouble: Trouble) -> bool:
        """Whether the whole batch is worth repeating as it is."""
        if trouble is Trouble.LOCKED:
            # On SQLite the lock is the whole database's; elsewhere it is one operation's row.
            return self._database.is_sqlite
        return trouble in (Trouble.AWAY, Trouble.FULL)

    def _isolate(self, batch: list[Pending], error: Exception, trouble: Trouble) -> None:
        if len(batch) > 1:
            for pending in batch:
                self._commit([pending])
            return
        pending = batch[0]
        if trouble is not Trouble.LOCKED:
            deliver([(pending, error)])
        elif not self._still_patient(batch, error, trouble):
            return
        elif self._aside is not None:
            self._aside.put(pending)
        else:
            self._park(pending, error)

    def _transact(self, batch: Sequence[Pending]) -> tuple[list[tuple[Pending, Any]], Hints]:
        groups: dict[type[Operation[Any]], list[Pending]] = defaultdict(list)
        for pending in batch:
            groups[type(pending.operation)].append(pending)
        answers: list[tuple[Pending, Any]] = []
        with self._with_server(batch) as connection, connection.begin():
            tx = Transaction(connection, self._database)
            for kind in sorted(groups, key=lambda kind: kind.order):
                group = groups[kind]
                results = kind.apply(tx, [pending.operation for pending in group])
                answers.extend(zip(group, results, strict=True))
            if not tx.sqlite and (tx.hints.queued or tx.hints.cancels):
                connection.execute(_NOTIFY)
            self.commits += 1
        return answers, tx.hints

    @contextmanager
    def _with_server(self, batch: Sequence[Pending]) -> Iterator[Connection]:
        if self._database.is_sqlite:
            yield self._connect()
            return
        self._under_way_since, self._under_way = time.monotonic(), batch
        try:
            with self._database.waits.counted() as wait:
                connection = self._connect()
                wait.connection = connection.connection.driver_connection
                yield connection
        finally:
            self._under_way = ()

    def _connect(self) -> Connection:
        if self._connection is None:
            connection = self._database.writing.connect()
            if self._database.is_sqlite:
                # What a statement of many rows would undo: else a file, made and deleted each time.
                connection.connection.cursor().execute("PRAGMA temp_store = MEMORY")
            if self._lock_milliseconds is not None:
                connection.exec_driver_sql(f"SET lock_timeout = {self._lock_milliseconds}")
                connection.commit()
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception:
                logger.debug("closing a broken connection failed", exc_info=True)

    def _still_patient(
        self, batch: list[Pending], error: Exception, trouble: Trouble
    ) -> list[Pending]:
        now = time.monotonic()
        closing = self._close_by is not None and now > self._close_by
        patient: list[Pending] = []
        tired: list[Pending] = []
        for pending in batch:
            late = pending.deadline is not None and now > pending.deadline
            full = trouble is Trouble.FULL and pending.operation.refuse_when_full
            (tired if late or full or closing else patient).append(pending)
        if tired:
            deliver([(pending, self._database.unavailable(error)) for pending in tired])
        return patient

    def _report(self, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = self._database.unavailable(error).reason
            logger.warning(
                "The database %s cannot be written: %s. Trying again.",
                self._database.name,
                self.trouble,
            )

    def _recovered(self) -> None:
        if self.trouble is not None:
            self.trouble = None
            logger.warning("The database %s can be written again.", self._database.name)


_NOTIFY = text(f"SELECT pg_notify('{CHANNEL}', '')")


def _reach_all(batch: Sequence[Pending]) -> None:
    for pending in batch:
        reach(pending.operation.failpoint)


def _log_failure(future: "Future[Any]") -> None:
    error = future.exception()
    if error is not None:
        logger.warning("a report was not stored: %s", error)
