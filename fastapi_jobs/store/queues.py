"""What people change about queues."""

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


def _set(tx: Transaction, queue: str, **values: Any) -> None:
    known_queue(tx, queue)
    tx.execute(update(queues).where(queues.c.name == queue).values(values))
