"""The clock's own moves: what is due is queued, what expired unstarted is cancelled."""

from datetime import datetime

from sqlalchemy import select, update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.queries import next_due
from fastapi_jobs.store.tables import NEVER_STARTED, RELEASED_KEY, has_status, jobs
from fastapi_jobs.store.transaction import Transaction

STAGE_LIMIT = 1000
"""Jobs that become due in one transaction."""


def keep_time(tx: Transaction, now: datetime) -> datetime | None:
    """Make the moves that are due; returns when the next one is."""
    moment = next_due(tx.connection)
    if moment is None or moment > now:
        return moment
    stage_due(tx, now)
    expire_waiting(tx, now)
    return next_due(tx.connection)


def stage_due(tx: Transaction, now: datetime) -> int:
    """Scheduled jobs whose time has come are queued; returns how many."""
    due = (
        select(jobs.c.id)
        .where(has_status(JobStatus.SCHEDULED), jobs.c.run_after <= now)
        .order_by(jobs.c.run_after)
        .limit(STAGE_LIMIT)
        .with_for_update(skip_locked=True)
    )
    ids = list(tx.execute(due).scalars())
    if ids:
        tx.execute(
            update(jobs)
            .where(jobs.c.id.in_(ids), has_status(JobStatus.SCHEDULED))
            .values(status=JobStatus.QUEUED)
        )
    return len(ids)


def expire_waiting(tx: Transaction, now: datetime) -> int:
    """Jobs that expired unstarted are cancelled, reason `expired`; returns how many."""
    late = (
        select(jobs.c.id)
        .where(
            jobs.c.expires_at.is_not(None),
            has_status(JobStatus.QUEUED, JobStatus.SCHEDULED),
            jobs.c.expires_at <= now,
            NEVER_STARTED,
        )
        .limit(STAGE_LIMIT)
        .with_for_update(skip_locked=True)
    )
    ids = list(tx.execute(late).scalars())
    if ids:
        tx.execute(
            update(jobs)
            .where(jobs.c.id.in_(ids), has_status(JobStatus.QUEUED, JobStatus.SCHEDULED))
            .values(
                status=JobStatus.CANCELLED,
                reason="expired",
                finished_at=now,
                unique_slot=RELEASED_KEY,
            )
        )
        tx.hints.finished.extend(ids)
    return len(ids)
