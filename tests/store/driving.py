"""Short ways to drive a store in tests: jobs, workers, claims and ends."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fastapi_jobs.clock import uuid7
from fastapi_jobs.models import AttemptRecord, JobRecord, WorkerRecord
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.claim import ClaimJobs
from fastapi_jobs.store.finish import FinishAttempt
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.lanes import ClaimRules, Lane, QueueLimits
from fastapi_jobs.store.rows import Claimed, Finish, Inserted, NewJob, UniqueWish
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Operation
from fastapi_jobs.store.unique import InsertUnique
from fastapi_jobs.store.workers import RegisterWorker

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
BACKEND = "asyncio"


@contextmanager
def open_store(url: str) -> Iterator[Store]:
    """An open store, tables made, closed at the end."""
    # Patient: thousands of rows in one operation take their time on a slow machine.
    store = Store(url, durability="normal", auto_migrate=True, timeout=120.0)
    store.open()
    try:
        yield store
    finally:
        store.close()


def analyze(store: Store) -> None:
    """Even while autovacuum is at it: a writer's patience of 100 ms is not for this."""
    with store.database.writing.connect() as connection:
        if not store.database.is_sqlite:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("ANALYZE")
        connection.commit()


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def new_job(task: str = "t", queue: str = "q", at: datetime = NOW, **changes: Any) -> NewJob:
    """A job that is due at once."""
    return NewJob(id=uuid7(), task=task, queue=queue, args="{}", created_at=at, **changes)


def insert(store: Store, *jobs: NewJob) -> list[Inserted]:
    """Insert plain jobs in one operation."""
    return store.write_sync(InsertJobs(jobs))


def insert_unique(store: Store, key: str, at: datetime = NOW, **wish: Any) -> Inserted:
    """Insert one job with a unique key."""
    job = new_job(at=at, unique=UniqueWish(key, **wish))
    return store.write_sync(InsertUnique([job]))[0]


def queued(store: Store, count: int = 1, **changes: Any) -> list[UUID]:
    """The ids of so many new jobs."""
    jobs = [new_job(**changes) for _ in range(count)]
    insert(store, *jobs)
    return [job.id for job in jobs]


def rules(
    tasks: Sequence[str] | None = None,
    task_limits: Mapping[str, int] | None = None,
    queues: Mapping[str, QueueLimits] | None = None,
) -> ClaimRules:
    """The rules of a worker that knows `tasks` (None: all)."""

    def resolve(lane: Lane) -> str | None:
        return (lane.backend or BACKEND) if tasks is None or lane.task in tasks else None

    limits, lanes = dict(task_limits or {}), dict(queues or {})
    return ClaimRules(resolve, limits.get, lambda queue: lanes.get(queue, QueueLimits()))


def register(store: Store, worker: UUID | None = None) -> UUID:
    """A new worker's id."""
    worker = uuid4() if worker is None else worker
    store.write_sync(RegisterWorker(worker_record(worker)))
    return worker


def worker_record(worker: UUID) -> WorkerRecord:
    """The row of a worker."""
    return WorkerRecord(
        id=worker,
        host="here",
        machine="",
        pid=1,
        version="0",
        backends="[]",
        queues="[]",
        tasks="[]",
        started_at=NOW,
        heartbeat_at=NOW,
    )


def claim_operation(
    worker: UUID, room: int = 100, *, at: datetime = NOW, idle: bool = False, **rule: Any
) -> ClaimJobs:
    """A claim for `room` slots of the one backend."""
    return ClaimJobs(worker, rules(**rule), {BACKEND: room}, at, idle=idle)


def claim(store: Store, worker: UUID, room: int = 100, **options: Any) -> list[Claimed]:
    """Claim for `room` slots."""
    return store.write_sync(claim_operation(worker, room, **options))


def claim_one(store: Store, worker: UUID | None = None, **options: Any) -> Claimed:
    """Claim the only waiting job, for a new worker if none is given."""
    [claimed] = claim(store, worker or register(store), **options)
    return claimed


def finish_of(
    claimed: Claimed,
    status: JobStatus = JobStatus.SUCCEEDED,
    outcome: AttemptOutcome = AttemptOutcome.SUCCEEDED,
    *,
    at: datetime = NOW,
    **changes: Any,
) -> FinishAttempt:
    """The end of a claimed job's attempt."""
    attempt, fence = claimed.attempt, claimed.fence
    return FinishAttempt(
        Finish(
            id=claimed.id,
            attempt=attempt,
            fence=fence,
            status=status,
            outcome=outcome,
            at=at,
            **changes,
        )
    )


def failure_of(claimed: Claimed, *, at: datetime = NOW) -> FinishAttempt:
    """A failed end."""
    return finish_of(
        claimed, JobStatus.FAILED, AttemptOutcome.FAILED, at=at, error="boom", error_type="E"
    )


def retry_of(claimed: Claimed, *, at: datetime = NOW, after: float = 1.0) -> FinishAttempt:
    """A failed end with a retry to come."""
    return finish_of(
        claimed,
        JobStatus.SCHEDULED,
        AttemptOutcome.FAILED,
        at=at,
        run_after=at + timedelta(seconds=after),
        error="boom",
        counts_as_failure=True,
    )


def job_of(store: Store, job_id: UUID) -> JobRecord:
    """The job's row."""
    record = store.read_sync(queries.get_job, job_id)
    assert record is not None
    return record


def attempts_of(store: Store, job_id: UUID) -> list[AttemptRecord]:
    """The job's runs."""
    return store.read_sync(queries.get_attempts, job_id)


def apply_lost(store: Store, operation: Operation[Any]) -> Any:
    """Commit `operation` and lose the answer: what a caller gets from the second try."""
    try:
        store.write_sync(operation)
    except Exception as error:
        raise AssertionError(f"the first try was refused: {error}") from error
    return store.write_sync(operation)
