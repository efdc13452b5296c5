"""Claims of single jobs that a message named or that wait behind those, several at a time."""

from datetime import UTC
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim_one import ClaimById, ClaimNext, ClaimOne
from fastapi_jobs.store.lanes import Lane, QueueLimits
from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import jobs
from fastapi_jobs.store.transaction import Transaction
from fastapi_jobs.store.workers import QuietWorker, UnregisterWorker
from tests.store.driving import (
    BACKEND,
    NOW,
    apply_lost,
    attempts_of,
    job_of,
    later,
    queued,
    register,
    rules,
)


def wish(job: UUID, worker: UUID, limit: int | None = None) -> ClaimById:
    """A claim of one job, whose queue runs at most `limit` at a time."""
    chosen = rules(queues={"q": QueueLimits(limit)})
    return ClaimById(id=job, worker=worker, rules=chosen, backend=BACKEND, now=NOW)


def wish_next(worker: UUID, limit: int | None = None, task: str = "t") -> ClaimNext:
    """A claim of what waits behind, in a queue that runs at most `limit` at a time."""
    chosen = rules(queues={"q": QueueLimits(limit)})
    lane = Lane("q", task, "")
    return ClaimNext(lane=lane, worker=worker, rules=chosen, backend=BACKEND, now=NOW)


def claim_all(store: Store, *wanted: ClaimOne) -> list[Claimed | Exception | None]:
    """Apply claims of one kind as one batch of the writer."""
    with store.database.writing.connect() as connection, connection.begin():
        return list(type(wanted[0]).apply(Transaction(connection, store.database), list(wanted)))


def ids(claimed: list[Claimed | Exception | None]) -> list[UUID | None]:
    """What was claimed, in order."""
    return [each.id if isinstance(each, Claimed) else None for each in claimed]


def publish(store: Store, *published: UUID) -> None:
    """As if a broker held these."""
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(update(jobs).where(jobs.c.id.in_(published)).values(published_at=NOW))


@pytest.mark.parametrize("why", ["quieted", "thought dead"])
def test_what_a_worker_may_not_claim_is_published_again(store: Store, why: str) -> None:
    [job], worker = queued(store), register(store)
    publish(store, job)
    if why == "quieted":
        store.write_sync(QuietWorker(worker, True))
    else:
        store.write_sync(UnregisterWorker(worker))
    assert claim_all(store, wish(job, worker)) == [None]
    found = job_of(store, job)
    assert (found.status, found.published_at) == (JobStatus.QUEUED, None)


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
    publish(store, first, second)
    one, two = claim_all(store, wish(first, worker, 1), wish(second, worker, 1))
    assert isinstance(one, Claimed)
    assert two is None
    assert job_of(store, second).published_at is None
    store.write_sync(PauseQueue("q", NOW))
    assert claim_all(store, wish(second, worker)) == [None]
    assert job_of(store, second).status == JobStatus.QUEUED


def test_the_next_of_a_lane_is_the_first_that_no_broker_was_told_of(store: Store) -> None:
    worker = register(store)
    [other], [first, second, told] = queued(store, task="other"), queued(store, 3)
    [urgent], [suspect] = queued(store, priority=5), queued(store)
    publish(store, told)
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(update(jobs).where(jobs.c.id == suspect).values(suspect=1))
    claimed = claim_all(
        store, *(wish_next(worker) for _ in range(4)), wish_next(worker, task="other")
    )
    assert ids(claimed) == [urgent, first, second, None, other]
    assert [each.fence for each in attempts_of(store, urgent)] == [1]
    assert {job_of(store, each).status for each in (told, suspect)} == {JobStatus.QUEUED}


def test_the_next_of_a_lane_lets_more_urgent_messages_go_first(store: Store) -> None:
    worker, [job], [urgent] = register(store), queued(store), queued(store, priority=1)
    publish(store, urgent)
    assert claim_all(store, wish_next(worker)) == [None]
    assert isinstance(claim_all(store, wish(urgent, worker))[0], Claimed)
    assert ids(claim_all(store, wish_next(worker))) == [job]


def test_the_next_of_a_lane_keeps_limits_and_pauses(store: Store) -> None:
    worker, [first, second] = register(store), queued(store, 2)
    assert ids(claim_all(store, wish_next(worker, 1), wish_next(worker, 1))) == [first, None]
    store.write_sync(PauseQueue("q", NOW))
    assert claim_all(store, wish_next(worker)) == [None]
    assert job_of(store, second).status == JobStatus.QUEUED


def test_the_next_of_a_lane_is_what_any_claim_of_it_returns(store: Store) -> None:
    worker, [job] = register(store), queued(store, at=later(1), priority=3, meta='{"a": 1}')
    [claimed] = claim_all(store, wish_next(worker))
    row, [attempt] = job_of(store, job), attempts_of(store, job)
    assert claimed == Claimed(
        *(job, "t", "q", BACKEND, "{}", 1, 1, 0, 0, False, 3),
        *(later(1), later(1), None, '{"a": 1}', ""),
    )
    assert isinstance(claimed, Claimed)
    assert (claimed.started_at.tzinfo, claimed.created_at.tzinfo) == (UTC, UTC)
    assert (row.status, row.worker_id, row.started_at) == (JobStatus.RUNNING, worker, later(1))
    assert (attempt.number, attempt.fence, attempt.worker_id) == (1, 1, worker)
    assert (attempt.backend, attempt.started_at) == (BACKEND, later(1))


def test_the_next_of_a_lane_is_for_living_workers(store: Store) -> None:
    [job] = queued(store)
    assert claim_all(store, wish_next(uuid4())) == [None]
    assert job_of(store, job).status == JobStatus.QUEUED


def test_the_next_of_a_lane_whose_commit_was_lost_is_its_own(store: Store) -> None:
    worker, [first, second] = register(store), queued(store, 2)
    assert apply_lost(store, wish_next(worker)).id == first
    assert job_of(store, second).status == JobStatus.QUEUED
