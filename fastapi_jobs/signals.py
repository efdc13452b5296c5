"""What happens to jobs, told to whoever listens, on a thread of its own.

An observer that fails or is slow touches neither the job nor the other observers.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from queue import Empty, Full, Queue
from uuid import UUID

logger = logging.getLogger("fastapi_jobs.observers")

BACKLOG = 10_000
"""Events that may wait for slow observers; later ones are dropped and counted."""


class EventKind(StrEnum):
    """What happened to a job."""

    ENQUEUED = "enqueued"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    RETRYING = "retrying"
    SNOOZED = "snoozed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one job. `seconds` is the attempt's run time."""

    kind: EventKind
    job_id: UUID
    task: str
    queue: str
    at: datetime
    attempt: int = 0
    seconds: float | None = None
    error: str | None = None
    reason: str | None = None


Observer = Callable[[Event], None]


class Observers:
    """The listeners of one FastAPIJobs. With none, telling costs nothing."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = list(observers)
        self._events: Queue[Event | None] = Queue(BACKLOG)
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.listening = bool(self._observers)
        """Whether anybody wants to hear."""

    def add(self, observer: Observer) -> None:
        """One more listener."""
        self._observers.append(observer)
        self.listening = True

    def tell(self, event: Event) -> None:
        """Queue `event` for the observers; never blocks, never raises."""
        if not self._observers:
            return
        if self._thread is None:
            self._start()
        try:
            self._events.put_nowait(event)
        except Full:
            self._dropped += 1
            if self._dropped in (1, 100) or self._dropped % 10_000 == 0:
                logger.warning("observers are too slow: %d events dropped", self._dropped)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="fastapi-jobs-observers", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            for observer in list(self._observers):
                try:
                    observer(event)
                except Exception:
                    logger.exception("observer %r failed on %s", observer, event)

    def close(self, timeout: float = 5.0) -> None:
        """Tell what waits, `timeout` seconds at the most, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._events.put(None, timeout=timeout)
        except Full:
            self._make_room()
        thread.join(timeout)

    def _make_room(self) -> None:
        try:
            self._events.get_nowait()
            self._events.put_nowait(None)
        except (Empty, Full):
            logger.warning("observers did not finish in time")
