"""What people change about queues."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import update

from fastapi_jobs.store.lanes import known_queue
from fastapi_jobs.store.tables import queues
from fastapi_jobs.store.transaction import Operation, Patience, Transaction


@dataclass(slots=True)
class PauseQueue(Operation[None]):
    """Start no more jobs of a queue; those that run are left alone."""

    queue: str
    now: datetime
    by: str | None = None
    reason: str | None = None
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> None:
        _set(
            tx,
            self.queue,
            paused=True,
            paused_at=self.now,
            paused_by=self.by,
            pause_reason=self.reason,
        )


@dataclass(slots=True)
class ResumeQueue(Operation[None]):
    """Start jobs of a queue again."""

    queue: str
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> None:
        _set(tx, self.queue, paused=False, paused_at=None, paused_by=None, pause_reason=None)
        tx.hints.queued = True


@dataclass(slots=True)
class LimitQueue(Operation[None]):
    """Change how many jobs of a queue run at a time, and how it ranks; absent keys stay."""

    queue: str
    changes: Mapping[str, int | None]
    """Of `max_running` (0 is no limit) and `priority`; None is what the settings say."""
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> None:
        limits = {name: self.changes[name] for name in _LIMITS if name in self.changes}
        if limits:
            _set(tx, self.queue, **limits)
            tx.hints.queued = True


_LIMITS = ("max_running", "priority")


def _set(tx: Transaction, queue: str, **values: Any) -> None:
    known_queue(tx, queue)
    tx.execute(update(queues).where(queues.c.name == queue).values(values))
