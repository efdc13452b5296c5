"""New jobs. Where this worker has a free slot and nothing waits ahead, the insert is the claim."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, bindparam, exists, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from fastapi_jobs.errors import QueueFull
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.lanes import RESTRICTED
from fastapi_jobs.store.prepared import Prepared, PreparedQuery, prepared_insert
from fastapi_jobs.store.rows import Inserted, NewJob
from fastapi_jobs.store.tables import QUEUED, attempts, has_status, jobs, tags, workers
from fastapi_jobs.store.transaction import Operation, Patience, Transaction

PLAIN = (
    *("id", "task", "queue", "backend", "status", "priority", "args", "attempt", "fence"),
    *("worker_id", "created_at", "run_after", "expires_at", "started_at", "owner", "tags", "meta"),
)
_ZERO: dict[str, ColumnElement[Any]] = {
    name: literal_column("0") for name in ("failures", "crashes", "suspect")
}


@cache
def _job_statement() -> Prepared:
    return prepared_insert(jobs, PLAIN, _ZERO)


ATTEMPT = ("job_id", "number", "fence", "worker_id", "backend", "started_at")


@cache
def attempt_statement() -> Prepared:
    """The insert of an attempt that starts; repeated, it changes nothing."""
    return prepared_insert(attempts, ATTEMPT)


def birth_status(job: NewJob) -> JobStatus:
    """`scheduled` until its `run_after`, else `queued`."""
    if job.run_after is not None and job.run_after > job.created_at:
        return JobStatus.SCHEDULED
    return JobStatus.QUEUED


def plain_row(
    job: NewJob, tx: Transaction, status: JobStatus, worker: UUID | None = None
) -> list[Any]:
    """The values of `PLAIN`; with `worker`, of a job which that worker owns from the start."""
    time = tx.encode_time
    created = time(job.created_at)
    attempt = 0 if worker is None else 1
    return [
        tx.encode_id(job.id),
        job.task,
        job.queue,
        job.backend,
        status.value,
        job.priority,
        job.args,
        attempt,
        attempt,
        None if worker is None else tx.encode_id(worker),
        created,
        None if job.run_after is None else time(job.run_after),
        None if job.expires_at is None else time(job.expires_at),
        None if worker is None else created,
        job.owner,
        to_json(job.tags).decode() if job.tags else None,
        job.meta,
    ]


def insert_tags(tx: Transaction, new: Iterable[NewJob]) -> None:
    """The index rows of the jobs' tags."""
    rows = [{"tag": tag, "job_id": job.id} for job in new for tag in set(job.tags)]
    if rows:
        insert = sqlite.insert if tx.sqlite else postgresql.insert
        tx.execute(insert(tags).on_conflict_do_nothing(), rows)


@dataclass(slots=True)
class InsertJobs(Operation[list[Inserted]]):
    """Jobs without a unique key, all or none of them."""

    jobs: Sequence[NewJob]
    claimer: UUID | None = None
    """The worker that keeps a slot free for the (only) job."""
    claimer_backend: str = ""
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    order = 0
    failpoint = "insert"
    refuse_when_full = True

    @classmethod
    def apply(
        cls, tx: Transaction, operations: Sequence[Self]
    ) -> Sequence[list[Inserted] | Exception]:
        answers: list[list[Inserted] | Exception] = []
        rows: list[list[Any]] = []
        runs: list[list[Any]] = []
        room = _Room(tx)
        gate = _Gate(tx, operations)
        for operation in operations:
            if full := room.refuses(operation.jobs):
                answers.append(full)
                continue
            inserted = []
            for job in operation.jobs:
                status = birth_status(job)
                if status is JobStatus.QUEUED and gate.opens(operation, job):
                    status = JobStatus.RUNNING
                    row = plain_row(job, tx, status, gate.worker)
                    runs.append([row[0], 1, 1, row[9], operation.claimer_backend, row[10]])
                else:
                    row = plain_row(job, tx, status)
                rows.append(row)
                inserted.append(Inserted(job.id, status))
            answers.append(inserted)
        if tx.many(_job_statement(), rows) != len(rows):
            started = _read_back(tx, operations, answers)
            runs = [run for run in runs if run[0] in started]
        tx.many(attempt_statement(), runs)
        insert_tags(tx, (job for operation in operations for job in operation.jobs if job.tags))
        tx.hints.queued = tx.hints.queued or len(runs) < len(rows)
        return answers


class _Room:
    """Backpressure: how many more jobs each capped queue takes in this transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._left: dict[str, int] = {}

    def refuses(self, new: Sequence[NewJob]) -> QueueFull | None:
        if len(new) == 1 and new[0].max_queued is None:
            return None
        wanted: dict[str, int] = {}
        caps: dict[str, int] = {}
        for job in new:
            if job.max_queued is not None:
                wanted[job.queue] = wanted.get(job.queue, 0) + 1
                caps[job.queue] = job.max_queued
        for queue, count in wanted.items():
            if self._room(queue, caps[queue]) < count:
                return None if self._stored(new[0]) else QueueFull(queue, caps[queue])
        for queue, count in wanted.items():
            self._left[queue] -= count
        return None

    def _room(self, queue: str, cap: int) -> int:
        if queue not in self._left:
            waiting: Select[Any] = select(literal_column("1")).where(
                jobs.c.queue == queue, has_status(JobStatus.QUEUED, JobStatus.SCHEDULED)
            )
            count = select(func.count()).select_from(waiting.limit(cap).subquery())
            self._left[queue] = cap - self._tx.execute(count).scalar_one()
        return self._left[queue]

    def _stored(self, job: NewJob) -> bool:
        # The second try of an insert whose first commit was lost on the way back: the room it
        # misses is the room it took.
        return self._tx.execute(select(jobs.c.id).where(jobs.c.id == job.id)).first() is not None


def refusal_of_full_queues(tx: Transaction, new: Sequence[NewJob]) -> QueueFull | None:
    """The refusal to store these jobs, if a capped queue has no room for them."""
    return _Room(tx).refuses(new)


class _Gate:
    """Whether a new job may start at once: its worker lives, its queue is open and empty."""

    def __init__(self, tx: Transaction, operations: Sequence[InsertJobs]) -> None:
        wishes = [each for each in operations if each.claimer is not None]
        self._open: set[str] = set()
        if not wishes:
            self.worker = UUID(int=0)
            return
        claimer = wishes[0].claimer
        assert claimer is not None
        self.worker = claimer
        worker = tx.encode_id(claimer)
        for queue in {each.jobs[0].queue for each in wishes}:
            if tx.finds(_open_to(), (worker, queue, queue)):
                self._open.add(queue)

    def opens(self, operation: InsertJobs, job: NewJob) -> bool:
        return operation.claimer == self.worker and job.queue in self._open


@cache
def _open_to() -> PreparedQuery:
    """The worker's row, held until the commit, if the queue has no restriction and nobody waits."""
    restricted = exists().where(RESTRICTED)
    ahead = exists().where(QUEUED, jobs.c.queue == bindparam("same_queue"))
    statement = _ROW_OF_WORKER.where(~restricted, ~ahead)
    return PreparedQuery(("worker", "queue", "same_queue"), _held(statement))


_ROW_OF_WORKER = select(workers.c.id).where(workers.c.id == bindparam("worker"), ~workers.c.quiet)


def _held(statement: Select[Any]) -> Select[Any]:
    return statement.with_for_update(key_share=True, read=True, of=workers)


HELD_WORKER = _held(_ROW_OF_WORKER)
"""The row of `:worker`, kept there until the commit."""


def worker_lives(tx: Transaction, worker: UUID) -> bool:
    """Whether the worker may claim: its row is there, and stays until the commit (law 5), and
    nobody quieted it.
    """
    return tx.finds(_lives(), (tx.encode_id(worker),))


@cache
def _lives() -> PreparedQuery:
    return PreparedQuery(("worker",), HELD_WORKER)


def _read_back(
    tx: Transaction,
    operations: Sequence[InsertJobs],
    answers: Sequence[list[Inserted] | Exception],
) -> set[Any]:
    """Correct the answers where ids were there already; returns the encoded ids that run by it.

    This is the second try of a batch whose first commit was lost on the way back: the rows say
    what that one did. A claim of the same worker may have taken a job since; only one that
    started when it was created was started by its insert.
    """
    started = set()
    for operation, answer in zip(operations, answers, strict=True):
        for inserted in [] if isinstance(answer, Exception) else answer:
            mine = operation.claimer is not None and _started_by_insert(
                tx, inserted.id, operation.claimer
            )
            if mine:
                started.add(tx.encode_id(inserted.id))
                inserted.status = JobStatus.RUNNING
            elif inserted.status is JobStatus.RUNNING:
                inserted.status = JobStatus.QUEUED
    return started


def _started_by_insert(tx: Transaction, job_id: UUID, claimer: UUID) -> bool:
    statement = select(jobs.c.id).where(
        jobs.c.id == job_id,
        has_status(JobStatus.RUNNING),
        jobs.c.worker_id == claimer,
        jobs.c.fence == literal_column("1"),
        jobs.c.started_at == jobs.c.created_at,
    )
    return tx.execute(statement).first() is not None
