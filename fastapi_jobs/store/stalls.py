"""A server that is there and says nothing: who waits for it, how long, and the cut.

A frozen server and a network that swallows packets leave the socket open, and the driver waits on
it for ever. Callers are told in time (`Writer.tell_the_late`, `Store.read`); a connection is cut
only much later: what is merely slow on a busy machine must come to its end.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

logger = logging.getLogger("fastapi_jobs.store")

LOOK_SECONDS = 0.1
"""How often somebody looks for those who wait too long."""

CUT_SECONDS = 60.0
"""How long a thread waits on a connection at the least before it is cut."""


class Wait:
    """A thread that talks to the server."""

    __slots__ = ("connection", "since", "was_cut")

    def __init__(self) -> None:
        self.connection: Any = None
        """The driver's, once there is one."""
        self.since = time.monotonic()
        self.was_cut = False

    def cut(self) -> None:
        """Shut the socket down, so that its thread gets an error; from any thread."""
        connection = self.connection
        if connection is None or self.was_cut:
            return
        try:
            number = connection.fileno()
            with socket.socket(fileno=os.dup(number)) as same:
                # Its thread may have closed it just now, and the number be somebody else's.
                if connection.fileno() == number:
                    self.was_cut = True
                    same.shutdown(socket.SHUT_RDWR)
        except Exception as error:
            logger.debug("a connection could not be cut: %r", error)


class Waits:
    """The threads that talk to one server now."""

    def __init__(self) -> None:
        self._waits: dict[int, Wait] = {}

    @contextmanager
    def counted(self, connection: Any = None) -> Iterator[Wait]:
        """This thread talks to the server in the block, by `connection` or one that it opens."""
        thread = threading.get_ident()
        wait = self._waits[thread] = Wait()
        wait.connection = connection
        try:
            yield wait
        finally:
            del self._waits[thread]
            if wait.was_cut:
                # Nobody else does when it was cut amid its first statements.
                wait.connection.close()

    def opened(self, connection: Any, _record: object = None) -> None:
        """This thread has a new connection."""
        wait = self._waits.get(threading.get_ident())
        if wait is not None:
            wait.connection = connection

    def cut(self, seconds: float) -> None:
        """Cut the connections of all who have waited for longer than `seconds`."""
        now = time.monotonic()
        for wait in list(self._waits.values()):
            if now - wait.since > seconds:
                wait.cut()


class Sweeper:
    """A thread that looks after those who wait: tells the callers, cuts the connections."""

    def __init__(
        self, waits: Waits, tell: Sequence[Callable[[float], None]], *, cut_seconds: float
    ) -> None:
        self._waits, self._tell = waits, tell
        self._cut_seconds = cut_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fastapi-jobs-sweeper", daemon=True)
        self._thread.start()

    def hurry(self, seconds: float) -> None:
        """The store is being closed: cut after `seconds`."""
        self._cut_seconds = min(self._cut_seconds, seconds)

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def _work(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                for tell in self._tell:
                    tell(time.monotonic())
                self._waits.cut(self._cut_seconds)
            except Exception:
                logger.exception("looking after those who wait for the database failed")
