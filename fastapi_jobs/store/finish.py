"""What an owner writes: begin, progress, log lines, finish, release. All fenced (law 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Self
from uuid import UUID

from sqlalchemy import ColumnElement, Update, and_, case, delete, literal_column, select, update

from fastapi_jobs.status import MOVES, AttemptOutcome, JobStatus
from fastapi_jobs.store.prepared import Prepared, Values, prepared_insert, prepared_update
from fastapi_jobs.store.rows import Finish
from fastapi_jobs.store.tables import RELEASED_KEY, attempts, jobs, logs, owned, status_text
from fastapi_jobs.store.transaction import Operation, Transaction

_ENDS = MOVES[JobStatus.RUNNING]
_ASKED = jobs.c.cancel_requested_at.is_not(None)
_SUCCEEDED: ColumnElement[str] = literal_column(f"'{AttemptOutcome.SUCCEEDED}'")


@dataclass(slots=True)
class BeginAttempt(Operation[bool]):
    """Ask the row whether the job is still ours and not to be cancelled."""

    id: UUID
    fence: int

    def apply_one(self, tx: Transaction) -> bool:
        statement = select(jobs.c.id).where(owned(self.id, self.fence), ~_ASKED)
        return tx.execute(statement.with_for_update(read=True)).first() is not None


@cache
def _succeed() -> Prepared:
    """Jobs that succeed; on PostgreSQL with their attempts, in one statement."""

    def build(given: Values) -> Update:
        return (
            update(jobs)
            .where(owned(given["job_id"], given["fence_then"]))
            .ordered_values(
                (jobs.c.status, status_text(JobStatus.SUCCEEDED)),
                (jobs.c.result, given["outcome_json"]),
                (jobs.c.finished_at, given["moment"]),
                (jobs.c.error, literal_column("NULL")),
                (jobs.c.suspect, literal_column("0")),
                (jobs.c.unique_slot, RELEASED_KEY),
            )
        )

    types = {
        "outcome_json": jobs.c.result.type,
        "moment": jobs.c.finished_at.type,
        "job_id": jobs.c.id.type,
        "fence_then": jobs.c.fence.type,
    }
    return prepared_update(types, build, _with_attempts)


def _with_attempts(succeed: Update, _given: Values) -> Update:
    """The same with the attempts; a job's row is locked before that of its attempt."""
    ended = succeed.returning(jobs.c.id, jobs.c.attempt, jobs.c.fence, jobs.c.finished_at)
    job = ended.cte("ended").c
    return (
        update(attempts)
        .where(_open_attempt(job.id, job.attempt, job.fence))
        .ordered_values((attempts.c.outcome, _SUCCEEDED), (attempts.c.finished_at, job.finished_at))
    )


def _open_attempt(job_id: Any, number: Any, fence: Any) -> ColumnElement[bool]:
    return and_(
        attempts.c.job_id == job_id,
        attempts.c.number == number,
        attempts.c.fence == fence,
        attempts.c.outcome.is_(None),
    )


@cache
def _attempt_succeeded() -> Prepared:
    """Their attempts, on SQLite."""

    def build(given: Values) -> Update:
        return (
            update(attempts)
            .where(_open_attempt(given["of_job"], given["number_then"], given["fence_then"]))
            .ordered_values(
                (attempts.c.outcome, _SUCCEEDED), (attempts.c.finished_at, given["moment"])
            )
        )

    types = {
        "moment": attempts.c.finished_at.type,
        "of_job": attempts.c.job_id.type,
        "number_then": attempts.c.number.type,
        "fence_then": attempts.c.fence.type,
    }
    return prepared_update(types, build)


@dataclass(slots=True)
class FinishAttempt(Operation[JobStatus | None]):
    """End one attempt. The answer is the job's status by it, or None: the job was not ours."""

    finish: Finish

    order = 2

    @classmethod
    def apply(
        cls, tx: Transaction, operations: Sequence[Self]
    ) -> Sequence[JobStatus | Exception | None]:
        successes = [
            each.finish for each in operations if each.finish.status is JobStatus.SUCCEEDED
        ]
        all_won = _finish_successes(tx, successes)
        answers = []
        for operation in operations:
            finish = operation.finish
            if finish.status is not JobStatus.SUCCEEDED:
                answers.append(_finish_otherwise(tx, finish))
            elif all_won:
                answers.append(JobStatus.SUCCEEDED)
            else:
                answers.append(_verdict(tx, finish))
        tx.hints.finished.extend(each.finish.id for each in operations)
        return answers


def _finish_successes(tx: Transaction, successes: Sequence[Finish]) -> bool:
    job_rows, attempt_rows = [], []
    for finish in successes:
        job_id, at = tx.encode_id(finish.id), tx.encode_time(finish.at)
        job_rows.append((finish.result, at, job_id, finish.fence))
        attempt_rows.append((at, job_id, finish.attempt, finish.fence))
    touched = tx.many(_succeed(), job_rows)
    if tx.sqlite:
        tx.many(_attempt_succeeded(), attempt_rows)
    return touched == len(job_rows)


def _finish_otherwise(tx: Transaction, finish: Finish) -> JobStatus | None:
    wanted = finish.status
    waits = wanted in (JobStatus.SCHEDULED, JobStatus.QUEUED)
    status: Any = wanted.value
    released: Any = RELEASED_KEY
    finished_at: Any = finish.at
    reason: Any = finish.reason
    if waits:
        # Somebody wants it cancelled: it does not run again.
        status = case((_ASKED, JobStatus.CANCELLED.value), else_=wanted.value)
        released = case((_ASKED, RELEASED_KEY), else_=jobs.c.unique_slot)
        finished_at = case((_ASKED, finish.at), else_=None)
    if wanted is JobStatus.CANCELLED:
        reason = jobs.c.reason if finish.reason is None else finish.reason
    changed = tx.execute(
        update(jobs)
        .where(owned(finish.id, finish.fence))
        .values(
            status=status,
            finished_at=finished_at,
            run_after=finish.run_after if waits else jobs.c.run_after,
            error=finish.error if wanted is not JobStatus.CANCELLED else jobs.c.error,
            reason=reason,
            failures=jobs.c.failures + int(finish.counts_as_failure),
            crashes=jobs.c.crashes + int(finish.counts_as_crash),
            suspect=0,
            unique_slot=released,
        )
    ).rowcount
    if changed:
        tx.execute(
            update(attempts)
            .where(_open_attempt(finish.id, finish.attempt, finish.fence))
            .values(_attempt_end(finish))
        )
        tx.hints.queued = tx.hints.queued or waits
    return _verdict(tx, finish)


def _attempt_end(finish: Finish) -> dict[str, Any]:
    return {
        "outcome": finish.outcome.value,
        "finished_at": finish.at,
        "error_type": finish.error_type,
        "error": finish.error,
        "traceback": finish.traceback,
    }


def _verdict(tx: Transaction, finish: Finish) -> JobStatus | None:
    """Did this finish win? A repeated one that finds its own outcome has won already."""
    statement = (
        select(jobs.c.status, jobs.c.fence)
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .where(
            jobs.c.id == finish.id,
            attempts.c.number == finish.attempt,
            attempts.c.fence == finish.fence,
            attempts.c.outcome == finish.outcome.value,
            # A rescuer may have written the same outcome, at a time of its own.
            attempts.c.finished_at == finish.at,
        )
    )
    row = tx.execute(statement).first()
    if row is None:
        return None
    status = JobStatus(row.status)
    # A retry may run already when the answer to its commit was lost.
    return status if row.fence == finish.fence and status in _ENDS else finish.status


@dataclass(slots=True)
class ReleaseJobs(Operation[int]):
    """Give jobs back uncharged, because this process stops or does not hold them.

    One whose function was never called (`called` false) loses its attempt row as well.
    """

    jobs: Sequence[tuple[UUID, int]]
    """Id and fence of each."""
    now: datetime
    called: bool = True
    reason: str = "released at shutdown"

    order = 2

    def apply_one(self, tx: Transaction) -> int:
        return sum(self._release(tx, job_id, fence) for job_id, fence in self.jobs)

    def _release(self, tx: Transaction, job_id: UUID, fence: int) -> int:
        changed = tx.execute(
            update(jobs)
            .where(owned(job_id, fence))
            .values(
                status=case((_ASKED, JobStatus.CANCELLED.value), else_=JobStatus.QUEUED.value),
                finished_at=case((_ASKED, self.now), else_=None),
                unique_slot=case((_ASKED, RELEASED_KEY), else_=jobs.c.unique_slot),
                attempt=jobs.c.attempt - int(not self.called),
                fence=jobs.c.fence + 1,
                worker_id=None,
                reason=case((_ASKED, jobs.c.reason), else_=self.reason),
            )
        ).rowcount
        if not changed:
            return 0
        this = (attempts.c.job_id == job_id) & (attempts.c.fence == fence)
        if self.called:
            ended = {"outcome": AttemptOutcome.RELEASED.value, "finished_at": self.now}
            tx.execute(update(attempts).where(this).values(**ended))
        else:
            tx.execute(delete(attempts).where(this))
        tx.hints.queued = True
        tx.hints.finished.append(job_id)
        return 1


@dataclass(slots=True)
class WriteProgress(Operation[bool]):
    """The latest progress of a running job, as JSON; False when it is not ours any more."""

    id: UUID
    fence: int
    progress: str
    patience: float | None = 5.0

    order = 1

    def apply_one(self, tx: Transaction) -> bool:
        statement = update(jobs).where(owned(self.id, self.fence)).values(progress=self.progress)
        return bool(tx.execute(statement).rowcount)


@dataclass(slots=True)
class NoteReason(Operation[bool]):
    """Why a job that somebody wants stopped still runs; False when it is not ours any more."""

    id: UUID
    fence: int
    reason: str
    patience: float | None = 5.0

    order = 1

    def apply_one(self, tx: Transaction) -> bool:
        statement = update(jobs).where(owned(self.id, self.fence)).values(reason=self.reason)
        return bool(tx.execute(statement).rowcount)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a task logged."""

    job_id: UUID
    attempt: int
    number: int
    at: datetime
    level: str
    logger: str
    message: str
    fields: str | None = None


_LOG = ("job_id", "attempt", "number", "at", "level", "logger", "message", "fields")


@cache
def _log_statement() -> Prepared:
    return prepared_insert(logs, _LOG)


@dataclass(slots=True)
class WriteLogs(Operation[None]):
    """Log lines of attempts."""

    lines: Sequence[LogLine]
    patience: float | None = 30.0

    order = 1

    @classmethod
    def apply(cls, tx: Transaction, operations: Sequence[Self]) -> Sequence[Exception | None]:
        rows = [
            (
                tx.encode_id(line.job_id),
                *(line.attempt, line.number, tx.encode_time(line.at), line.level, line.logger),
                *(line.message, line.fields),
            )
            for operation in operations
            for line in operation.lines
        ]
        tx.many(_log_statement(), rows)
        return [None] * len(operations)
