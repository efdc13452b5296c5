"""Inserts that may lose a race for a key, and inserts through a host's own transaction.

Uniqueness is an index, never a look before the insert: a loser finds the holder afterwards, and
ON CONFLICT leaves the transaction usable for whoever owns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fastapi_jobs.errors import DuplicateJob, EnqueueError, IdempotencyConflict
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.insert import birth_status, insert_tags, refusal_of_full_queues
from fastapi_jobs.store.queries import get_job
from fastapi_jobs.store.rows import IdempotencyWish, Inserted, NewJob, UniqueWish
from fastapi_jobs.store.tables import has_status, idempotency, jobs
from fastapi_jobs.store.transaction import Operation, Patience, Transaction


@dataclass(slots=True)
class InsertUnique(Operation[list[Inserted]]):
    """Jobs of which some have a unique or an idempotency key, all or none of them."""

    jobs: Sequence[NewJob]
    idempotency: IdempotencyWish | None = None
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    order = 0
    alone = True
    failpoint = "insert"
    refuse_when_full = True

    def apply_one(self, tx: Transaction) -> list[Inserted] | Exception:
        savepoint = tx.connection.begin_nested()
        try:
            inserted = insert_through(tx, self.jobs, self.idempotency)
        except EnqueueError as refusal:
            savepoint.rollback()
            return refusal
        savepoint.commit()
        tx.hints.queued = True
        return inserted


def insert_through(
    tx: Transaction, new: Sequence[NewJob], wish: IdempotencyWish | None = None
) -> list[Inserted]:
    """Insert by Core statements alone, on whatever connection `tx` has.

    Raises:
        QueueFull, DuplicateJob, IdempotencyConflict: nothing of `new` may stay.
    """
    if wish is not None and (replayed := _replay(tx, new[0], wish)):
        replayed.record = get_job(tx.connection, replayed.id)
        return [replayed]
    if full := refusal_of_full_queues(tx, new):
        raise full
    inserted = [_insert(tx, job) for job in new]
    for done in inserted:
        if not done.is_new:
            done.record = get_job(tx.connection, done.id)
    insert_tags(tx, (job for job, done in zip(new, inserted, strict=True) if done.is_new))
    if wish is not None and inserted[0].id != new[0].id:
        tx.execute(
            update(idempotency).where(idempotency.c.key == wish.key).values(job_id=inserted[0].id)
        )
    return inserted


def _replay(tx: Transaction, job: NewJob, wish: IdempotencyWish) -> Inserted | None:
    """The job of an earlier request with this key; None after taking the key for `job`."""
    tx.execute(
        delete(idempotency).where(
            idempotency.c.key == wish.key, idempotency.c.expires_at <= job.created_at
        )
    )
    insert = sqlite.insert if tx.sqlite else postgresql.insert
    take = (
        insert(idempotency)
        .values(key=wish.key, body=wish.body, job_id=job.id, expires_at=wish.expires_at)
        .on_conflict_do_nothing()
        .returning(idempotency.c.key)
    )
    row = None
    while row is None:  # it may be pruned between the two statements
        if tx.execute(take).first() is not None:
            return None
        row = tx.execute(select(idempotency).where(idempotency.c.key == wish.key)).first()
    if row.body != wish.body:
        raise IdempotencyConflict(wish.shown)
    found = tx.execute(select(jobs.c.status).where(jobs.c.id == row.job_id)).first()
    if found is None:
        # Its job was pruned or deleted: the key is free again.
        tx.execute(update(idempotency).where(idempotency.c.key == wish.key).values(job_id=job.id))
        return None
    ours = row.job_id == job.id
    return Inserted(row.job_id, JobStatus(found.status), is_new=ours, replayed=not ours)


def _insert(tx: Transaction, job: NewJob) -> Inserted:
    status = birth_status(job)
    if job.unique is None:
        _insert_row(tx, job, status)
        return Inserted(job.id, status)
    while True:
        _free_expired_window(tx, job)
        if _insert_row(tx, job, status):
            return Inserted(job.id, status)
        # A repeated insert of ours may have started, ended, and lost the key to another by now.
        repeated = tx.execute(select(jobs.c.status).where(jobs.c.id == job.id)).first()
        if repeated is not None:
            return Inserted(job.id, JobStatus(repeated.status))
        holder = tx.execute(_holder(job.unique.key)).first()
        if holder is None:
            continue  # given up between the two statements
        match job.unique.on_conflict:
            case "existing":
                return Inserted(holder.id, JobStatus(holder.status), is_new=False)
            case "reject":
                raise DuplicateJob(job.task, holder.id)
            case "replace":
                _displace(tx, job, holder.id)


def _holder(key: str) -> Any:
    return select(jobs.c.id, jobs.c.status).where(jobs.c.unique_slot == key)


def _displace(tx: Transaction, job: NewJob, holder: Any) -> None:
    """A waiting holder is cancelled; one that runs keeps running but gives up the key."""
    waiting = has_status(JobStatus.BLOCKED, JobStatus.SCHEDULED, JobStatus.QUEUED)
    cancelled = tx.execute(
        update(jobs)
        .where(jobs.c.id == holder, waiting)
        .values(
            status=JobStatus.CANCELLED,
            reason=f"replaced by job {job.id}",
            finished_at=job.created_at,
            unique_slot=None,
        )
    ).rowcount
    if cancelled:
        tx.hints.finished.append(holder)
    else:
        tx.execute(update(jobs).where(jobs.c.id == holder).values(unique_slot=None))


def _free_expired_window(tx: Transaction, job: NewJob) -> None:
    unique = job.unique
    assert unique is not None
    tx.execute(
        update(jobs)
        .where(jobs.c.unique_slot == unique.key, jobs.c.unique_until <= job.created_at)
        .values(unique_slot=None)
    )


def _insert_row(tx: Transaction, job: NewJob, status: JobStatus) -> bool:
    """Insert it, if neither its id nor its key is there."""
    insert = sqlite.insert if tx.sqlite else postgresql.insert
    values = {
        "id": job.id,
        "task": job.task,
        "queue": job.queue,
        "backend": job.backend,
        "status": status.value,
        "priority": job.priority,
        "args": job.args,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
        "suspect": 0,
        "fence": 0,
        "created_at": job.created_at,
        "run_after": job.run_after,
        "expires_at": job.expires_at,
        "owner": job.owner,
        "tags": to_json(job.tags).decode() if job.tags else None,
        "meta": job.meta,
    } | _unique_values(job.unique)
    statement = insert(jobs).values(values).on_conflict_do_nothing()
    # RETURNING, because some drivers forget an insert's rowcount with its cursor.
    return tx.execute(statement.returning(jobs.c.id)).first() is not None


def _unique_values(unique: UniqueWish | None) -> dict[str, Any]:
    if unique is None:
        return {}
    return {
        "unique_key": unique.key,
        "unique_slot": unique.key,
        "unique_during": unique.during,
        "unique_until": unique.until,
    }
