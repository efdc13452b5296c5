"""What becomes of the jobs of a dead worker. A crash charges the culprit only (law 6)."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, select, update

from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store.tables import RELEASED_KEY, attempts, has_status, jobs, owned, workers
from fastapi_jobs.store.transaction import Operation, Transaction

WORKER_DIED = "its worker died while it ran"


@dataclass(frozen=True, slots=True)
class CrashRules:
    """How crashes are charged."""

    max_crashes: int
    isolated: Collection[str] = frozenset({"process"})
    """Backends whose jobs cannot take the worker down with them."""
    fails_on_crash: Callable[[str], bool] = lambda task: False
    """True for a task declared with `on_crash="fail"`."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """A job that was taken from a dead worker."""

    id: UUID
    task: str
    status: JobStatus
    charged: bool


@dataclass(slots=True)
class RescueWorker(Operation[list[Rescued] | None]):
    """Take everything from a worker that was seen dead at `beat`; None: it beat since."""

    worker: UUID
    beat: int
    now: datetime
    rules: CrashRules

    order = 1

    def apply_one(self, tx: Transaction) -> list[Rescued] | None:
        # The row lock keeps a claim of the same worker out until it finds its row gone.
        row = tx.execute(
            select(workers.c.beat).where(workers.c.id == self.worker).with_for_update()
        ).first()
        if row is None or row.beat != self.beat:
            return None
        condition = jobs.c.worker_id == self.worker
        rescued = _rescue(tx, condition, self.now, self.rules, died=True)
        tx.execute(delete(workers).where(workers.c.id == self.worker))
        return rescued


@dataclass(slots=True)
class RescueOrphans(Operation[list[Rescued]]):
    """Take running jobs whose worker has no row; nobody is charged, for nobody saw the crash."""

    now: datetime
    rules: CrashRules

    order = 1

    def apply_one(self, tx: Transaction) -> list[Rescued]:
        orphaned = jobs.c.worker_id.not_in(select(workers.c.id))
        return _rescue(tx, orphaned, self.now, self.rules, died=False)


def _rescue(
    tx: Transaction, condition: Any, now: datetime, rules: CrashRules, *, died: bool
) -> list[Rescued]:
    rows = tx.execute(
        select(
            *(jobs.c.id, jobs.c.task, jobs.c.fence, jobs.c.crashes, jobs.c.suspect),
            *(jobs.c.cancel_requested_at, jobs.c.worker_id, attempts.c.backend),
        )
        .join(
            attempts,
            and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt),
            isouter=True,
        )
        .where(has_status(JobStatus.RUNNING), condition)
        .order_by(jobs.c.id)
        .with_for_update(of=jobs)
    ).all()
    if not died:
        rows = _without_owner(tx, rows)
    sharing = [row for row in rows if died and row.backend not in rules.isolated]
    culprit = sharing[0].id if len(sharing) == 1 else None
    suspects = {row.id for row in sharing} - {culprit}
    rescued = []
    for row in rows:
        status = _take_back(tx, row, now, rules, row.id == culprit, row.id in suspects)
        rescued.append(Rescued(row.id, row.task, status, row.id == culprit))
    tx.hints.queued = tx.hints.queued or bool(rows)
    tx.hints.finished.extend(row.id for row in rows)
    return rescued


def _without_owner(tx: Transaction, rows: Sequence[Any]) -> list[Any]:
    # While the select waited for a row's lock, a worker may have registered and claimed it: the
    # condition was judged by the worker rows of the moment before. The rows are locked now.
    owners = {row.worker_id for row in rows}
    statement = select(workers.c.id).where(workers.c.id.in_(owners))
    alive = set(tx.execute(statement).scalars()) if owners else set()
    return [row for row in rows if row.worker_id not in alive]


def _take_back(
    tx: Transaction, row: Any, now: datetime, rules: CrashRules, charged: bool, suspect: bool
) -> JobStatus:
    crashes = row.crashes + int(charged)
    error: str | None = None
    reason: str | None = WORKER_DIED
    if row.cancel_requested_at is not None:
        status, reason = JobStatus.CANCELLED, None
    elif charged and (crashes >= rules.max_crashes or rules.fails_on_crash(row.task)):
        status = JobStatus.FAILED
        error = crash_error(crashes, rules.max_crashes, rules.fails_on_crash(row.task))
    else:
        status = JobStatus.QUEUED
    final = status is not JobStatus.QUEUED
    tx.execute(
        update(jobs)
        .where(owned(row.id, row.fence))
        .values(
            status=status.value,
            fence=jobs.c.fence + 1,
            worker_id=None,
            crashes=crashes,
            suspect=int(not final and (suspect or charged or bool(row.suspect))),
            finished_at=now if final else None,
            error=error if error is not None else jobs.c.error,
            reason=jobs.c.reason if reason is None else reason,
            unique_slot=RELEASED_KEY if final else jobs.c.unique_slot,
        )
    )
    tx.execute(
        update(attempts)
        .where(attempts.c.job_id == row.id, attempts.c.fence == row.fence)
        .values(
            outcome=AttemptOutcome.CRASHED.value,
            finished_at=now,
            error=WORKER_DIED if not charged else f"{WORKER_DIED}, alone",
        )
    )
    return status


def crash_error(crashes: int, max_crashes: int, fails_at_once: bool) -> str:
    """Why a job that killed its process is failed."""
    if fails_at_once:
        return "Crashed: its process died while it ran, and the task has on_crash='fail'."
    times = "once" if crashes == 1 else f"{crashes} times"
    return f"Crashed: its process died {times} while it ran; max_crashes is {max_crashes}."
