"""Claims of single jobs by the workers of a broker, all that wait at a time in one go."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import bindparam, select, update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim import CLAIMED_COLUMNS, claimed_row, take
from fastapi_jobs.store.claim_heads import UNTOLD, take_heads
from fastapi_jobs.store.insert import worker_lives
from fastapi_jobs.store.lanes import ClaimRules, Lane, Limits, heads_of_lane
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.tables import has_status, jobs, unexpired
from fastapi_jobs.store.transaction import Operation, Transaction


@dataclass(slots=True, kw_only=True)
class ClaimOne(Operation[Claimed | None]):
    """Claim one job for `backend`; None when there is none that may run here now."""

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
        rest = cls._take_at_once(tx, fresh)
        if rest and not worker_lives(tx, rest[0].worker):
            cls._refuse(tx, rest)
        elif rest:
            limits = Limits(tx, rest[0].rules)
            for operation, row in cls._find(tx, rest, limits):
                claimed = claimed_row(row, operation.backend, operation.now)
                claimed.chosen = row.chosen
                operation._taken = claimed
            taken = [each._taken for each in rest if each._taken is not None]
            take(tx, rest[0].worker, taken)
        return [each._taken for each in operations]

    @classmethod
    def _take_at_once(cls, tx: Transaction, operations: Sequence[Self]) -> Sequence[Self]:
        """Take what needs no look at limits; returns those that do."""
        return operations

    @classmethod
    def _refuse(cls, tx: Transaction, operations: Sequence[Self]) -> None:
        """The worker may not claim: it is quieted, or thought dead."""

    @classmethod
    def _find(
        cls, tx: Transaction, operations: Sequence[Self], limits: Limits
    ) -> Iterator[tuple[Self, Any]]:
        """The row that each of them may take, locked."""
        raise NotImplementedError

    def _still_ours(self, tx: Transaction) -> bool:
        if self._taken is None:
            return False
        statement = select(jobs.c.id, jobs.c.fence, jobs.c.started_at).where(
            jobs.c.id == self._taken.id,
            has_status(JobStatus.RUNNING),
            jobs.c.worker_id == self.worker,
        )
        return tx.execute(statement).first() == self._taken.token


@dataclass(slots=True, kw_only=True)
class ClaimById(ClaimOne):
    """Claim the job that a message named.

    One that a pause, a limit or a quieted worker holds up is forgotten by the broker: it is
    published again once it may run.
    """

    id: UUID

    @classmethod
    def _refuse(cls, tx: Transaction, operations: Sequence[Self]) -> None:
        _forget(tx, [each.id for each in operations])

    @classmethod
    def _find(
        cls, tx: Transaction, operations: Sequence[Self], limits: Limits
    ) -> Iterator[tuple[Self, Any]]:
        wanted = {"ids": [each.id for each in operations], "now": operations[0].now}
        rows = {row.id: row for row in tx.execute(_NAMED, wanted)}
        held_up: list[UUID] = []
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
                yield each, row
            else:
                held_up.append(each.id)
        if held_up:
            _forget(tx, held_up)


def _forget(tx: Transaction, ids: Sequence[UUID]) -> None:
    waiting = jobs.c.id.in_(ids), has_status(JobStatus.QUEUED)
    tx.execute(update(jobs).where(*waiting).values(published_at=None))


@dataclass(slots=True, kw_only=True)
class ClaimNext(ClaimOne):
    """Claim the first job of a lane among those that no broker was told of.

    None either when a message of the same queue waits whose job has a larger priority. Where a
    person limited the queue, PostgreSQL leaves it to the messages.
    """

    lane: Lane

    @property
    def _is_unrestricted(self) -> bool:
        limits, lane = self.rules.queue_limits(self.lane.queue), self.lane
        limited = limits.max_running is not None or self.rules.task_limit(lane.task) is not None
        return not (limited or limits.paused)

    @classmethod
    def _take_at_once(cls, tx: Transaction, operations: Sequence[Self]) -> Sequence[Self]:
        if tx.sqlite:
            return operations
        free = [each for each in operations if each._is_unrestricted]
        for lane, some in _by_lane(free):
            first = some[0]
            taken = take_heads(tx, lane, len(some), first.worker, first.backend, first.now)
            for each, claimed in zip(some, taken, strict=False):
                each._taken = claimed
        return [each for each in operations if not each._is_unrestricted]

    @classmethod
    def _find(
        cls, tx: Transaction, operations: Sequence[Self], limits: Limits
    ) -> Iterator[tuple[Self, Any]]:
        for lane, some in _by_lane(operations):
            count = min(limits.room(lane), len(some))
            if count > 0:
                heads = tx.execute(_HEADS, lane._asdict() | {"now": some[0].now, "count": count})
                for each, row in zip(some, heads, strict=False):
                    limits.spend(lane)
                    yield each, row


_Next = TypeVar("_Next", bound=ClaimNext)


def _by_lane(operations: Sequence[_Next]) -> list[tuple[Lane, list[_Next]]]:
    of_lane: dict[Lane, list[_Next]] = defaultdict(list)
    for each in operations:
        of_lane[each.lane].append(each)
    return sorted(of_lane.items())


_NOW = unexpired(bindparam("now", type_=jobs.c.expires_at.type))
_COLUMNS = CLAIMED_COLUMNS.add_columns(jobs.c.backend.label("chosen"))
_NAMED = _COLUMNS.where(
    jobs.c.id.in_(bindparam("ids", expanding=True)), has_status(JobStatus.QUEUED), _NOW
).with_for_update(skip_locked=True)
_HEADS = heads_of_lane(_COLUMNS, *UNTOLD)
