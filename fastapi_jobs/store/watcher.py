"""Hearing of other processes' commits: a hint, never the truth (law 11).

SQLite tells by `PRAGMA data_version`, PostgreSQL by LISTEN; either way a thread wakes the
dispatcher, and a poll finds what a hint missed.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from fastapi_jobs.store.database import Database
from fastapi_jobs.store.writer import CHANNEL

logger = logging.getLogger("fastapi_jobs.store")

LOOK_SECONDS = 0.025
"""How often SQLite's log is looked at; a look and its sleep cost some 50 µs."""

BUSY_SECONDS = 0.25
"""How soon a change is told that may be this process's own."""

_RECONNECT_SECONDS = 1.0


class Watcher:
    """A thread that calls `on_change` whenever another process committed something.

    SQLite does not say who committed: while `own_commits` grows, changes are told less often.
    """

    def __init__(
        self,
        database: Database,
        on_change: Callable[[], None],
        own_commits: Callable[[], int] = lambda: 0,
    ) -> None:
        self._database = database
        self._own_commits = own_commits
        self._on_change = on_change
        self._stop = threading.Event()
        watch = self._watch_sqlite if database.is_sqlite else self._watch_postgresql
        self._thread = threading.Thread(
            target=self._keep, args=(watch,), name="fastapi-jobs-watcher", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def _keep(self, watch: Callable[[Any], None]) -> None:
        while not self._stop.is_set():
            try:
                with self._database.reading.connect() as connection:
                    watch(connection.connection.driver_connection)
            except (DBAPIError, OSError) as error:
                logger.debug("watching for changes failed: %s", error)
            except Exception as error:
                # The driver's own errors come unwrapped from its own connection.
                logger.debug("watching for changes failed: %r", error)
            self._stop.wait(_RECONNECT_SECONDS)

    def _watch_sqlite(self, connection: Any) -> None:
        seen, own, told, untold = None, self._own_commits(), 0.0, False
        log = f"{self._database.url.database}-wal"
        stamp: tuple[int, int] | None = None
        while not self._stop.is_set():
            time.sleep(LOOK_SECONDS)  # half the processor time of a wait for the event
            last, stamp = stamp, _stamp(log)
            if stamp is not None and stamp == last and not untold:
                continue
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if seen is not None and version != seen:
                untold = True
            seen, busy, own = version, self._own_commits() != own, self._own_commits()
            now = time.monotonic()
            if untold and (not busy or now - told >= BUSY_SECONDS):
                untold, told = False, now
                self._on_change()

    def _watch_postgresql(self, connection: Any) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._on_change()
        while not self._stop.is_set():
            for _ in connection.notifies(timeout=0.5, stop_after=1):
                self._on_change()


def _stamp(log: str) -> tuple[int, int] | None:
    """What every commit changes in SQLite's write-ahead log: asked for a tenth of a version."""
    try:
        found = os.stat(log)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
