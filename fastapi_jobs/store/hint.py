"""Telling others of what a host's own transaction committed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from fastapi_jobs.store.tables import jobs
from fastapi_jobs.store.transaction import Operation, Transaction


@dataclass(slots=True)
class HintQueued(Operation[None]):
    """Wake whoever claims; `there` gets those of `ids` that exist after all."""

    ids: Sequence[UUID]
    there: Callable[[Collection[UUID]], None]
    patience: float | None = 5.0

    def apply_one(self, tx: Transaction) -> None:
        self.there(set(tx.execute(select(jobs.c.id).where(jobs.c.id.in_(self.ids))).scalars()))
        tx.hints.queued = True
