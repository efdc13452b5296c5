"""What a person may ask of one job: cancel, retry, edit, delete. The WHERE is the guard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, delete, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.errors import IllegalMove, JobChanged, JobNotFound
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import FINAL, WAITING, JobAction, JobStatus, legal_actions
from fastapi_jobs.store.tables import (
    RELEASED_KEY,
    attempts,
    has_status,
    idempotency,
    is_listed_as,
    jobs,
    logs,
    tags,
)
from fastapi_jobs.store.transaction import Operation, Patience, Transaction


def _refusal(
    tx: Transaction, action: JobAction, job_id: UUID, holder: UUID | None = None
) -> Exception:
    row = tx.execute(select(jobs.c.status).where(jobs.c.id == job_id)).first()
    if row is None:
        return JobNotFound(job_id)
    legal = [each.value for each in legal_actions(JobStatus(row.status))]
    reason = "" if holder is None else f"Its unique key is held by job {holder}."
    return IllegalMove(action.value, job_id, row.status, legal, reason, holder)


@dataclass(slots=True)
class RequestCancel(Operation[JobStatus]):
    """Cancel a waiting job, ask a running one; repeated, it says the same again."""

    id: UUID
    now: datetime
    reason: str = "cancelled on request"
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> JobStatus | Exception:
        while True:
            moved = self._cancel(tx) or self._ask(tx)
            if moved is not None:
                return moved
            row = tx.execute(select(jobs.c.status).where(jobs.c.id == self.id)).first()
            if row is not None and row.status == JobStatus.CANCELLED:
                return JobStatus.CANCELLED
            if row is None or JobStatus(row.status).is_final:
                return _refusal(tx, JobAction.CANCEL, self.id)
            # It was claimed or released between the statements: look again.

    def _cancel(self, tx: Transaction) -> JobStatus | None:
        cancelled = tx.execute(
            update(jobs)
            .where(jobs.c.id == self.id, has_status(*WAITING))
            .values(
                status=JobStatus.CANCELLED,
                cancel_requested_at=self.now,
                finished_at=self.now,
                reason=self.reason,
                unique_slot=RELEASED_KEY,
            )
        ).rowcount
        if not cancelled:
            return None
        tx.hints.finished.append(self.id)
        return JobStatus.CANCELLED

    def _ask(self, tx: Transaction) -> JobStatus | None:
        asked = tx.execute(
            update(jobs)
            .where(jobs.c.id == self.id, has_status(JobStatus.RUNNING))
            .values(cancel_requested_at=self.now, reason=self.reason)
        ).rowcount
        if not asked:
            return None
        tx.hints.cancels = True
        return JobStatus.RUNNING


@dataclass(slots=True)
class RetryJob(Operation[JobStatus]):
    """Run a finished job again, with all its retries."""

    id: UUID
    now: datetime
    patience: float | Patience | None = Patience.STORE_TIMEOUT
    _moved: bool = field(default=False, repr=False)
    """A try before this one did it: its commit may have been lost on the way back."""

    alone = True  # it may wait for whoever is taking its unique key

    def apply_one(self, tx: Transaction) -> JobStatus | Exception:
        statement = select(jobs.c.unique_key, jobs.c.unique_during).where(
            jobs.c.id == self.id, has_status(*FINAL)
        )
        row = tx.execute(statement.with_for_update()).first()
        if row is None:
            refusal = _refusal(tx, JobAction.RETRY, self.id)
            done = self._moved and isinstance(refusal, IllegalMove)
            return JobStatus.QUEUED if done else refusal
        takes_key = row.unique_key is not None and row.unique_during != "window"
        while not self._again(tx, takes_key):
            held = select(jobs.c.id).where(jobs.c.unique_slot == row.unique_key)
            holder = tx.execute(held).first()
            if holder is not None:
                return _refusal(tx, JobAction.RETRY, self.id, holder.id)
        self._moved = True
        tx.hints.queued = True
        return JobStatus.QUEUED

    def _again(self, tx: Transaction, takes_key: bool) -> bool:
        """Queue it; False when another job holds its key: the index judges, not a look before."""
        slot = jobs.c.unique_key if takes_key else jobs.c.unique_slot
        savepoint = tx.connection.begin_nested()
        try:
            tx.execute(
                update(jobs)
                .where(jobs.c.id == self.id, has_status(*FINAL))
                .values(_AGAIN | {"unique_slot": slot})
            )
        except IntegrityError:
            savepoint.rollback()
            return False
        savepoint.commit()
        return True


_AGAIN: dict[str, Any] = {
    "status": JobStatus.QUEUED.value,
    "failures": 0,
    "crashes": 0,
    "suspect": 0,
    "worker_id": None,
    "run_after": None,
    "expires_at": None,
    "started_at": None,
    "finished_at": None,
    "cancel_requested_at": None,
    "result": None,
    "error": None,
    "reason": None,
    "progress": None,
    "published_at": None,
}


@dataclass(slots=True)
class EditJob(Operation[JobStatus]):
    """Change a job that has not started; absent keys stay as they are."""

    id: UUID
    now: datetime
    changes: dict[str, Any]
    """Of `priority`, `queue`, `run_after` (datetime or None), `tags` (a sequence of str)."""
    seen: JobRecord | None = None
    """What the caller saw; unless the job is still like that, it is a JobChanged."""
    patience: float | Patience | None = Patience.STORE_TIMEOUT
    _edited: JobStatus | None = field(default=None, repr=False)
    """What a try before this one came to: its commit may have been lost on the way back."""

    def apply_one(self, tx: Transaction) -> JobStatus | Exception:
        values = {key: value for key, value in self.changes.items() if key != "tags"}
        new_tags: Sequence[str] | None = self.changes.get("tags")
        if new_tags is not None:
            values["tags"] = to_json(tuple(new_tags)).decode() if new_tags else None
        if "queue" in values or "run_after" in values:
            values["published_at"] = None  # what the broker holds of it is void
        if "run_after" in values:
            due = values["run_after"] is None or values["run_after"] <= self.now
            values["status"] = (JobStatus.QUEUED if due else JobStatus.SCHEDULED).value
        changed = tx.execute(
            update(jobs)
            .where(
                jobs.c.id == self.id,
                has_status(JobStatus.SCHEDULED, JobStatus.QUEUED),
                *self._as_seen(),
            )
            .values(values or {"priority": jobs.c.priority})
            .returning(jobs.c.status)
        ).first()
        if changed is None:
            return self._edited or self._lost(tx)
        self._edited = JobStatus(changed.status)
        if new_tags is not None:
            tx.execute(delete(tags).where(tags.c.job_id == self.id, tags.c.tag.not_in(new_tags)))
            insert = sqlite.insert if tx.sqlite else postgresql.insert
            rows = [{"tag": tag, "job_id": self.id} for tag in set(new_tags)]
            if rows:
                tx.execute(insert(tags).on_conflict_do_nothing(), rows)
        tx.hints.queued = True
        return JobStatus(changed.status)

    def _as_seen(self) -> list[ColumnElement[bool]]:
        if self.seen is None:
            return []
        return [jobs.c[name].is_not_distinct_from(getattr(self.seen, name)) for name in _EDITABLE]

    def _lost(self, tx: Transaction) -> Exception:
        refusal = _refusal(tx, JobAction.EDIT, self.id)
        is_editable = isinstance(refusal, IllegalMove) and JobAction.EDIT in refusal.legal
        return JobChanged(self.id) if is_editable and self.seen is not None else refusal


_EDITABLE = ("status", "priority", "queue", "run_after", "tags", "attempt")


@dataclass(slots=True)
class DeleteJobs(Operation[int]):
    """Delete finished jobs with all that belongs to them; others stay. Returns how many."""

    ids: Sequence[UUID]
    must: bool = False
    """True: a single job whose status forbids it is an error."""
    patience: float | Patience | None = Patience.STORE_TIMEOUT
    _deleted: int = field(default=0, repr=False)
    """What a try before this one deleted: its commit may have been lost on the way back."""

    def apply_one(self, tx: Transaction) -> int | Exception:
        statement = select(jobs.c.id).where(jobs.c.id.in_(self.ids), has_status(*FINAL))
        ids = list(tx.execute(statement.with_for_update(skip_locked=not self.must)).scalars())
        if not ids and self._deleted:
            return self._deleted
        if self.must and not ids:
            return _refusal(tx, JobAction.DELETE, self.ids[0])
        self._deleted = len(ids)
        if ids:
            for table in (logs, attempts, tags, idempotency):
                tx.execute(delete(table).where(table.c.job_id.in_(ids)))
            tx.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        return len(ids)


@dataclass(slots=True)
class Prune(Operation[int]):
    """Delete up to `limit` jobs of one final status that finished before `before`."""

    status: JobStatus
    before: datetime
    limit: int = 500

    def apply_one(self, tx: Transaction) -> int | Exception:
        old = (
            select(jobs.c.id)
            .where(
                is_listed_as(self.status),
                # No younger job can have finished before: this ends the walk along the index.
                jobs.c.id < first_uuid7(self.before),
                jobs.c.finished_at < self.before,
            )
            .order_by(jobs.c.id)
            .limit(literal_column(str(self.limit)))
        )
        return DeleteJobs(list(tx.execute(old).scalars())).apply_one(tx)


@dataclass(slots=True)
class PruneIdempotency(Operation[int]):
    """Forget idempotency keys whose time is over."""

    now: datetime

    def apply_one(self, tx: Transaction) -> int:
        return tx.execute(delete(idempotency).where(idempotency.c.expires_at <= self.now)).rowcount
