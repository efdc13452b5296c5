"""One change of many jobs: each by the move that a person asks of a single one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fastapi_jobs.errors import IllegalMove, JobNotFound
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.moves import DeleteJobs, RequestCancel, RetryJob
from fastapi_jobs.store.transaction import Operation, Patience, Transaction


@dataclass(slots=True)
class Changed:
    """What became of some jobs."""

    done: int = 0
    asked: int = 0
    """Running ones that were asked to stop."""
    refused: int = 0
    """Those whose status or unique key forbade it by then."""


@dataclass(slots=True)
class CancelJobs(Operation[Changed]):
    """Cancel waiting jobs, ask running ones."""

    ids: Sequence[UUID]
    now: datetime
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> Changed | Exception:
        return _counted(tx, [RequestCancel(each, self.now) for each in self.ids])


@dataclass(slots=True)
class RetryJobs(Operation[Changed]):
    """Run finished jobs again."""

    ids: Sequence[UUID]
    now: datetime
    patience: float | Patience | None = Patience.STORE_TIMEOUT
    _moves: list[RetryJob] = field(default_factory=list, repr=False)
    """Kept over a repetition: each knows whether a try before this one did it."""

    alone = True  # as each retry may have to wait

    def apply_one(self, tx: Transaction) -> Changed | Exception:
        self._moves = self._moves or [RetryJob(each, self.now) for each in sorted(self.ids)]
        return _counted(tx, self._moves)


@dataclass(slots=True)
class DeleteMany(Operation[Changed]):
    """Delete finished jobs."""

    ids: Sequence[UUID]
    patience: float | Patience | None = Patience.STORE_TIMEOUT
    _delete: DeleteJobs | None = field(default=None, repr=False)

    def apply_one(self, tx: Transaction) -> Changed | Exception:
        self._delete = self._delete or DeleteJobs(self.ids)
        deleted = self._delete.apply_one(tx)
        if isinstance(deleted, Exception):
            return deleted
        return Changed(done=deleted, refused=len(self.ids) - deleted)


def _counted(
    tx: Transaction, moves: Sequence[RequestCancel] | Sequence[RetryJob]
) -> Changed | Exception:
    changed = Changed()
    for move in moves:
        match move.apply_one(tx):
            case IllegalMove() | JobNotFound():
                changed.refused += 1
            case JobStatus.RUNNING:
                changed.asked += 1
            case JobStatus():
                changed.done += 1
            case error:
                return error
    return changed
