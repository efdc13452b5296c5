"""Claims of single jobs that a message named, several at a time."""

from uuid import UUID, uuid4

from sqlalchemy import update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim_by_id import ClaimById
from fastapi_jobs.store.lanes import QueueLimits
from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import jobs
from fastapi_jobs.store.transaction import Transaction
from tests.store.driving import (
    BACKEND,
    NOW,
    apply_lost,
    attempts_of,
    job_of,
    queued,
    register,
    rules,
)


def wish(job: UUID, worker: UUID, limit: int | None = None) -> ClaimById:
    """A claim of one job, whose queue runs at most `limit` at a time."""
    return ClaimById(job, worker, rules(queues={"q": QueueLimits(limit)}), BACKEND, NOW)


def claim_all(store: Store, *wanted: ClaimById) -> list[Claimed | Exception | None]:
    """Apply claims as one batch of the writer."""
    with store.database.writing.connect() as connection, connection.begin():
        return list(ClaimById.apply(Transaction(connection, store.database), list(wanted)))


def test_of_two_claims_of_one_job_one_wins(store: Store) -> None:
    worker, [job, other] = register(store), queued(store, 2)
    first, second, third = claim_all(
        store, wish(job, worker), wish(job, worker), wish(other, worker)
    )
    assert isinstance(first, Claimed)
    assert second is None
    assert isinstance(third, Claimed)
    assert claim_all(store, wish(job, worker)) == [None]
    assert [each.fence for each in attempts_of(store, job)] == [1]


def test_a_claim_whose_commit_was_lost_is_its_own(store: Store) -> None:
    worker, [job] = register(store), queued(store)
    claimed = apply_lost(store, wish(job, worker))
    assert (claimed.id, claimed.fence, claimed.attempt) == (job, 1, 1)
    assert len(attempts_of(store, job)) == 1


def test_a_worker_without_a_row_gets_nothing(store: Store) -> None:
    [job] = queued(store)
    assert claim_all(store, wish(job, uuid4())) == [None]
    assert job_of(store, job).status == JobStatus.QUEUED


def test_the_broker_forgets_what_a_pause_or_a_limit_holds_up(store: Store) -> None:
    worker, [first, second] = register(store), queued(store, 2)
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(update(jobs).values(published_at=NOW))
    one, two = claim_all(store, wish(first, worker, 1), wish(second, worker, 1))
    assert isinstance(one, Claimed)
    assert two is None
    assert job_of(store, second).published_at is None
    store.write_sync(PauseQueue("q", NOW))
    assert claim_all(store, wish(second, worker)) == [None]
    assert job_of(store, second).status == JobStatus.QUEUED
