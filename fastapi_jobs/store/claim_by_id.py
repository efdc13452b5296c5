"""Claims of single jobs that a message named, all that wait at a time in one go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import bindparam, select, update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim import CLAIMED_COLUMNS, claimed_row, take
from fastapi_jobs.store.insert import worker_lives
from fastapi_jobs.store.lanes import ClaimRules, Lane, Limits
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.tables import has_status, jobs, unexpired
from fastapi_jobs.store.transaction import Operation, Transaction


@dataclass(slots=True)
class ClaimById(Operation[Claimed | None]):
    """Claim this job for `backend`; None when it may not run here now.

    One that a pause or a limit holds up is forgotten by the broker: it is published again once
    there is room.
    """

    id: UUID
    worker: UUID
    rules: ClaimRules
    backend: str
    now: datetime
    _taken: Claimed | None = field(default=None, repr=False)
    """What the last try took: when its commit was lost on the way back, it is ours."""

    order = 9

    @classmethod
    def apply(
        cls, tx: Transaction, operations: Sequence[Self]
    ) -> Sequence[Claimed | Exception | None]:
        # All of one store come from the one worker of its process.
        fresh = [each for each in operations if not each._still_ours(tx)]
        for each in fresh:
            each._taken = None
        if worker_lives(tx, operations[0].worker):
            cls._take(tx, fresh)
        return [each._taken for each in operations]

    @classmethod
    def _take(cls, tx: Transaction, operations: Sequence[Self]) -> None:
        if not operations:
            return
        first = operations[0]
        rows = {row.id: row for row in _queued(tx, operations, first.now)}
        limits = Limits(tx, first.rules)
        held_up: list[UUID] = []
        taken: list[Claimed] = []
        for each in operations:
            # Of two messages with one id, the first gets the job.
            row = rows.pop(each.id, None)
            if row is None:
                continue
            lane = Lane(row.queue, row.task, row.chosen)
            if each.rules.resolve(lane) != each.backend:
                continue
            if limits.room(lane) > 0:
                limits.spend(lane)
                each._taken = claimed_row(row, each.backend, each.now)
                taken.append(each._taken)
            else:
                held_up.append(each.id)
        if held_up:
            tx.execute(update(jobs).where(jobs.c.id.in_(held_up)).values(published_at=None))
        take(tx, first.worker, taken)

    def _still_ours(self, tx: Transaction) -> bool:
        if self._taken is None:
            return False
        statement = select(jobs.c.id, jobs.c.fence, jobs.c.started_at).where(
            jobs.c.id == self.id,
            has_status(JobStatus.RUNNING),
            jobs.c.worker_id == self.worker,
        )
        return tx.execute(statement).first() == self._taken.token


def _queued(tx: Transaction, operations: Sequence[ClaimById], now: datetime) -> Sequence[Any]:
    ids = [each.id for each in operations]
    return tx.execute(_QUEUED.where(unexpired(now)), {"ids": ids}).all()


_QUEUED = (
    CLAIMED_COLUMNS.add_columns(jobs.c.backend.label("chosen"))
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)), has_status(JobStatus.QUEUED))
    .with_for_update(skip_locked=True)
)
