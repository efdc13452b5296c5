"""Unique keys and idempotency keys, and who waits for whom."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from fastapi_jobs import JobFilter
from fastapi_jobs.errors import DuplicateJob, IdempotencyConflict, IllegalMove, QueueFull
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import DeleteJobs, PruneIdempotency, RequestCancel, RetryJob
from fastapi_jobs.store.rows import IdempotencyWish, Inserted, NewJob, UniqueWish
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Transaction
from fastapi_jobs.store.unique import InsertUnique, insert_through
from tests.servers import wait_until
from tests.store.driving import (
    NOW,
    attempts_of,
    claim_one,
    failure_of,
    finish_of,
    insert_unique,
    job_of,
    later,
    new_job,
    open_store,
    register,
)


def test_a_duplicate_is_told_of_the_holder(store: Store) -> None:
    first = insert_unique(store, "k")
    second = insert_unique(store, "k")
    assert (second.id, second.is_new, second.status) == (first.id, False, JobStatus.QUEUED)
    assert insert_unique(store, "other").is_new


def test_reject_names_the_holder(store: Store) -> None:
    first = insert_unique(store, "k")
    with pytest.raises(DuplicateJob, match=f"Job {first.id} of task 't' holds the same unique key"):
        insert_unique(store, "k", on_conflict="reject")


def test_replace_cancels_a_waiting_holder(store: Store) -> None:
    first = insert_unique(store, "k")
    second = insert_unique(store, "k", on_conflict="replace")
    record = job_of(store, first.id)
    assert second.is_new
    assert (record.status, record.reason) == ("cancelled", f"replaced by job {second.id}")


def test_replace_lets_a_running_holder_run(store: Store) -> None:
    first = insert_unique(store, "k")
    claimed = claim_one(store)
    second = insert_unique(store, "k", on_conflict="replace")
    assert second.is_new
    assert job_of(store, first.id).status == JobStatus.RUNNING
    assert store.write_sync(finish_of(claimed)) is JobStatus.SUCCEEDED
    assert job_of(store, second.id).unique_slot == "k"


@pytest.mark.parametrize(("during", "free"), [("queued", True), ("unfinished", False)])
def test_the_key_while_running(store: Store, during: Any, free: bool) -> None:
    insert_unique(store, "k", during=during)
    claimed = claim_one(store)
    assert insert_unique(store, "k", during=during).is_new is free
    store.write_sync(finish_of(claimed))


def test_a_finished_job_gives_up_its_key(store: Store) -> None:
    for end in (finish_of, failure_of):
        assert insert_unique(store, "k").is_new
        store.write_sync(end(claim_one(store)))
    cancelled = insert_unique(store, "k")
    store.write_sync(RequestCancel(cancelled.id, NOW))
    assert insert_unique(store, "k").is_new


def test_a_window_outlives_the_job(store: Store) -> None:
    first = insert_unique(store, "k", during="window", until=later(60))
    store.write_sync(finish_of(claim_one(store)))
    inside = insert_unique(store, "k", later(59), during="window", until=later(119))
    assert (inside.id, inside.is_new) == (first.id, False)
    assert insert_unique(store, "k", later(60), during="window", until=later(120)).is_new


def test_one_of_many_racing_enqueuers_wins(database_url: str) -> None:
    """Two processes' stores, eight threads: one job for each key."""
    with open_store(database_url) as one, open_store(database_url) as two:

        def enqueue(number: int) -> Inserted:
            store = one if number % 2 else two
            job = new_job(unique=UniqueWish(f"k{number // 8}"))
            return store.write_sync(InsertUnique([job]))[0]

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(enqueue, range(64)))
        for key in range(8):
            group = answers[key * 8 : key * 8 + 8]
            assert len({each.id for each in group}) == 1
            assert sum(each.is_new for each in group) == 1


def test_two_stores_with_crossed_keys_do_not_lock_each_other_for_ever(postgres_url: str) -> None:
    """Each holds one key and wants the other's: a deadlock that must end by itself."""
    with open_store(postgres_url) as one, open_store(postgres_url) as two:

        def enqueue(store: Store, keys: list[str]) -> list[list[Inserted]]:
            return [
                store.write_sync(
                    InsertUnique([new_job(unique=UniqueWish(f"{key}{n}")) for key in keys])
                )
                for n in range(20)
            ]

        with ThreadPoolExecutor(2) as pool:
            left = pool.submit(enqueue, one, ["a", "b"])
            right = pool.submit(enqueue, two, ["b", "a"])
            pairs = zip(left.result(60), right.result(60), strict=True)
        for ours, theirs in pairs:
            assert {each.id for each in ours} == {each.id for each in theirs}


def test_all_or_none(store: Store) -> None:
    insert_unique(store, "taken")
    jobs = [new_job(tags=("x",)), new_job(unique=UniqueWish("taken", on_conflict="reject"))]
    with pytest.raises(DuplicateJob):
        store.write_sync(InsertUnique(jobs))
    assert store.read_sync(queries.get_job, jobs[0].id) is None
    which = JobFilter(tag="x")
    assert store.read_sync(queries.list_jobs, which).items == []


def test_a_full_queue_refuses_unique_jobs_too(store: Store) -> None:
    job = new_job(max_queued=1, unique=UniqueWish("a"))
    store.write_sync(InsertUnique([job]))
    with pytest.raises(QueueFull, match="Queue 'q' holds max_queued = 1 waiting jobs"):
        store.write_sync(InsertUnique([new_job(max_queued=1, unique=UniqueWish("b"))]))


def test_an_idempotency_key_replays(store: Store) -> None:
    first = _idempotent(store, "body")
    again = _idempotent(store, "body")
    assert (again.id, again.is_new, again.replayed) == (first.id, False, True)
    with pytest.raises(IdempotencyConflict, match="'client-key' was used with another body"):
        _idempotent(store, "other body")
    assert _idempotent(store, "other body", at=later(60)).is_new


def test_an_idempotency_key_of_a_deleted_job_is_free(store: Store) -> None:
    first = _idempotent(store, "body")
    store.write_sync(RequestCancel(first.id, NOW))
    store.write_sync(DeleteJobs([first.id]))
    assert _idempotent(store, "body").is_new


def test_expired_idempotency_keys_are_pruned(store: Store) -> None:
    _idempotent(store, "body")
    assert store.write_sync(PruneIdempotency(later(59))) == 0
    assert store.write_sync(PruneIdempotency(later(60))) == 1


def _idempotent(store: Store, body: str, at: Any = NOW) -> Inserted:
    wish = IdempotencyWish("digest", body, at + timedelta(seconds=60), "client-key")
    return store.write_sync(InsertUnique([new_job(at=at)], wish))[0]


def test_a_retry_whose_key_is_held_names_the_holder(store: Store) -> None:
    first = insert_unique(store, "k")
    store.write_sync(failure_of(claim_one(store)))
    holder = insert_unique(store, "k")
    with pytest.raises(IllegalMove, match=f"Its unique key is held by job {holder.id}"):
        store.write_sync(RetryJob(first.id, NOW))
    store.write_sync(RequestCancel(holder.id, NOW))
    assert store.write_sync(RetryJob(first.id, NOW)) is JobStatus.QUEUED
    assert not insert_unique(store, "k").is_new


def test_a_retry_that_loses_its_key_to_a_racing_enqueue_is_refused(postgres_store: Store) -> None:
    """The enqueue is not committed when the retry looks: only the index can judge."""
    store = postgres_store
    first = insert_unique(store, "k")
    store.write_sync(failure_of(claim_one(store)))
    with ThreadPoolExecutor(1) as pool, store.database.writing.connect() as host:
        with host.begin():
            racer = new_job(unique=UniqueWish("k"))
            insert_through(Transaction(host, store.database), [racer])
            retry = pool.submit(store.write_sync, RetryJob(first.id, NOW))
            wait_until(lambda: _waiting(store) > 0)
        with pytest.raises(IllegalMove, match=f"Its unique key is held by job {racer.id}"):
            retry.result(30)


def test_a_host_transaction_delays_nobody_but_its_own_key(postgres_store: Store) -> None:
    """Law 2: inserts with a unique key never hold up the group."""
    store = postgres_store
    answers: list[Inserted] = []

    def want(count: int) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=lambda: answers.append(insert_unique(store, "held")))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        return threads

    with store.database.writing.connect() as host:
        with host.begin():
            held = new_job(unique=UniqueWish("held"))
            insert_through(Transaction(host, store.database), [held])
            waiting = want(20)
            wait_until(lambda: _waiting(store) > 0)
            tries: list[object] = []
            event.listen(store.database.writing, "handle_error", tries.append)
            began = time.monotonic()
            for number in range(5):
                store.write_sync(InsertJobs([new_job()]))
                assert insert_unique(store, f"free{number}").is_new
            tried, spent = len(tries), time.monotonic() - began
            assert answers == []
        for thread in waiting:
            thread.join(30)
    assert {each.id for each in answers} == {held.id}
    assert not any(each.is_new for each in answers)
    # Each try of a waiter takes 100 ms: all twenty of them before each enqueue would be 100. They
    # are tried a few times a second.
    assert tried < 50 + 5 * spent


def _waiting(store: Store) -> int:
    statement = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return store.read_sync(lambda connection: int(connection.execute(statement).scalar_one()))


def test_a_host_transaction_that_rolls_back_leaves_the_key(store: Store) -> None:
    job = new_job(unique=UniqueWish("k"))
    with store.database.writing.connect() as host, host.begin() as transaction:
        [inserted] = insert_through(Transaction(host, store.database), [job])
        assert inserted.is_new
        transaction.rollback()
    assert insert_unique(store, "k").is_new


def test_losing_a_key_leaves_the_hosts_transaction_usable(store: Store) -> None:
    holder = insert_unique(store, "k")
    plain, loser = new_job(), new_job(unique=UniqueWish("k"))
    with store.database.writing.connect() as host, host.begin():
        answers = insert_through(Transaction(host, store.database), [loser, plain])
        assert [each.id for each in answers] == [holder.id, plain.id]
    assert _exists(store, plain)
    assert not _exists(store, loser)


def _exists(store: Store, job: NewJob) -> bool:
    found: dict[UUID, JobStatus] = store.read_sync(queries.get_status, [job.id])
    return bool(found)


def test_a_unique_job_runs_like_any_other(store: Store) -> None:
    inserted = insert_unique(store, "k")
    claimed = claim_one(store, register(store))
    assert (claimed.id, claimed.fence, claimed.attempt) == (inserted.id, 1, 1)
    assert len(attempts_of(store, inserted.id)) == 1
