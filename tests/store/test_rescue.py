"""Dead workers: who is charged, who is not, and what a race may not do (laws 5 and 6)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, text, update

from fastapi_jobs import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.claim import ClaimJobs
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.rescue import CrashRules, Rescued, RescueOrphans, RescueWorker
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import jobs, workers
from fastapi_jobs.store.transaction import Transaction
from fastapi_jobs.store.workers import Beaten, Pulse, UnregisterWorker
from tests.servers import wait_until
from tests.store.driving import (
    BACKEND,
    NOW,
    attempts_of,
    claim,
    claim_one,
    claim_operation,
    finish_of,
    job_of,
    later,
    new_job,
    queued,
    register,
    worker_record,
)

RULES = CrashRules(max_crashes=2)


def crash(store: Store, worker: UUID, rules: CrashRules = RULES) -> list[Rescued]:
    """The worker dies and is rescued."""
    rescued = store.write_sync(RescueWorker(worker, 0, later(1), rules))
    assert rescued is not None
    return rescued


def running(store: Store, count: int = 1, *, idle: bool = False) -> tuple[UUID, list[Claimed]]:
    """A worker that runs so many jobs."""
    worker = register(store)
    if not idle:
        queued(store, count)
    claimed = claim(store, worker, idle=idle)
    assert len(claimed) == count
    return worker, claimed


def test_the_only_job_is_charged(store: Store) -> None:
    worker, [claimed] = running(store)
    assert crash(store, worker) == [Rescued(claimed.id, "t", JobStatus.QUEUED, True)]
    record, [run] = job_of(store, claimed.id), attempts_of(store, claimed.id)
    assert (record.crashes, record.suspect, record.fence, record.worker_id) == (1, 1, 2, None)
    assert (run.outcome, run.finished_at) == ("crashed", later(1))
    assert store.read_sync(queries.get_workers) == []


def test_past_the_cap_it_is_failed_with_the_reason(store: Store) -> None:
    for again in (False, True):
        worker, [claimed] = running(store, idle=again)
        crash(store, worker)
    record = job_of(store, claimed.id)
    assert (record.status, record.error) == (
        "failed",
        "Crashed: its process died 2 times while it ran; max_crashes is 2.",
    )


def test_on_crash_fail(store: Store) -> None:
    worker, [claimed] = running(store)
    crash(store, worker, CrashRules(5, fails_on_crash=lambda task: task == "t"))
    assert job_of(store, claimed.id).error == (
        "Crashed: its process died while it ran, and the task has on_crash='fail'."
    )


def test_of_several_nobody_is_charged_and_all_are_suspects(store: Store) -> None:
    worker, claimed = running(store, 5)
    assert [each.charged for each in crash(store, worker)] == [False] * 5
    records = [job_of(store, each.id) for each in claimed]
    assert [(each.status, each.crashes, each.suspect) for each in records] == [("queued", 0, 1)] * 5


def test_isolated_backends_are_innocent(store: Store) -> None:
    """A child process cannot take its parent down: the one beside it did."""
    culprit = new_job()
    store.write_sync(InsertJobs([culprit, *(new_job(backend="process") for _ in range(3))]))
    worker = register(store)
    operation = claim_operation(worker)
    both = ClaimJobs(worker, operation.rules, {BACKEND: 9, "process": 9}, NOW)
    assert len(store.write_sync(both)) == 4
    charged = {each.id for each in crash(store, worker) if each.charged}
    assert charged == {culprit.id}
    suspects = [job for job in _all(store) if job.suspect]
    assert [job.id for job in suspects] == [culprit.id]


def _all(store: Store) -> list[JobRecord]:
    return list(store.read_sync(queries.list_jobs, JobFilter()).items)


def test_a_cancel_request_ends_it(store: Store) -> None:
    worker, [claimed] = running(store)
    store.write_sync(RequestCancel(claimed.id, NOW, reason="enough"))
    crash(store, worker)
    record = job_of(store, claimed.id)
    assert (record.status, record.reason) == ("cancelled", "enough")


def test_a_beat_since_saves_it(store: Store) -> None:
    worker, [claimed] = running(store)
    pulse = Pulse(store.database)
    try:
        assert pulse.beat(worker, later(1), 1) is Beaten.ALIVE
        assert store.write_sync(RescueWorker(worker, 0, NOW, RULES)) is None
        assert job_of(store, claimed.id).status == JobStatus.RUNNING
        assert [each.beat for each in pulse.others(uuid4())] == [1]
        crash_seen = store.write_sync(RescueWorker(worker, 1, NOW, RULES))
        assert crash_seen
        assert pulse.beat(worker, later(2), 0) is Beaten.GONE
    finally:
        pulse.close()


def test_a_pulse_sees_what_is_owned_and_asked(store: Store) -> None:
    worker, [claimed] = running(store)
    pulse = Pulse(store.database)
    try:
        assert list(pulse.owned(worker)) == [(claimed.id, claimed.fence)]
        assert not pulse.has_orphans()
        store.write_sync(RequestCancel(claimed.id, NOW))
        asked = store.read_sync(queries.cancel_requests, worker)
        assert list(asked) == [(claimed.id, claimed.fence)]
        _lose_row(store, worker)
        assert pulse.has_orphans()
    finally:
        pulse.close()


def test_orphans_are_rescued_and_nobody_is_charged(store: Store) -> None:
    worker, [claimed] = running(store)
    assert store.write_sync(RescueOrphans(NOW, RULES)) == []
    _lose_row(store, worker)
    [rescued] = store.write_sync(RescueOrphans(NOW, RULES))
    assert (rescued.id, rescued.charged) == (claimed.id, False)
    assert (job_of(store, claimed.id).crashes, job_of(store, claimed.id).suspect) == (0, 0)


def _lose_row(store: Store, worker: UUID) -> None:
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(delete(workers).where(workers.c.id == worker))


def test_a_worker_that_owns_a_job_does_not_leave_quietly(store: Store) -> None:
    worker, [claimed] = running(store)
    assert not store.write_sync(UnregisterWorker(worker))
    store.write_sync(finish_of(claimed))
    assert store.write_sync(UnregisterWorker(worker))


def test_an_orphan_that_finds_an_owner_meanwhile_is_not_taken(postgres_store: Store) -> None:
    """While the rescue waits for the row, a worker registers and claims it.

    Under READ COMMITTED its condition is judged anew, but by the worker rows of before.
    """
    store = postgres_store
    worker, [claimed] = running(store)
    _lose_row(store, worker)
    fresh = uuid4()
    with ThreadPoolExecutor(1) as pool:
        with store.database.writing.connect() as other, other.begin():
            other.execute(text("SELECT 1 FROM fastapi_jobs_jobs FOR UPDATE"))
            rescue = pool.submit(_rescue_patiently, store)
            wait_until(lambda: _blocked(store))
            other.execute(workers.insert().values(worker_record(fresh).model_dump()))
            other.execute(update(jobs).values(worker_id=fresh, fence=jobs.c.fence + 2))
        assert rescue.result(30) == []
    record = job_of(store, claimed.id)
    assert (record.status, record.worker_id, record.fence) == ("running", fresh, 3)


def _rescue_patiently(store: Store) -> list[Rescued]:
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        return RescueOrphans(NOW, RULES).apply_one(Transaction(connection, store.database))


def _blocked(store: Store) -> bool:
    statement = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(store.read_sync(lambda connection: connection.execute(statement).scalar_one()))


@pytest.mark.parametrize("loser", ["finish", "cancel", "claim"])
def test_who_comes_during_a_rescue_sees_its_end(postgres_store: Store, loser: str) -> None:
    """Laws 3 and 5: the rescue holds the rows; the others wait, look again and lose."""
    store = postgres_store
    worker, [claimed] = running(store)
    waiting = queued(store)[0]
    with ThreadPoolExecutor(1) as pool:
        with store.database.writing.connect() as other, other.begin():
            rescue = RescueWorker(worker, 0, NOW, RULES)
            assert rescue.apply_one(Transaction(other, store.database))
            operation: Any = {
                "finish": finish_of(claimed),
                "cancel": RequestCancel(claimed.id, NOW),
                "claim": claim_operation(worker),
            }[loser]
            answer = pool.submit(store.write_sync, operation)
            wait_until(lambda: _blocked(store))
        expected: Any = {"finish": None, "cancel": JobStatus.CANCELLED, "claim": []}
        assert answer.result(30) == expected[loser]
    status = JobStatus.CANCELLED if loser == "cancel" else JobStatus.QUEUED
    assert job_of(store, claimed.id).status == status
    assert job_of(store, waiting).status == JobStatus.QUEUED


def test_a_rescue_waits_for_a_claim_and_takes_its_job(postgres_store: Store) -> None:
    """Law 5: a claim keeps its worker's row, so none commits behind the rescuer's back."""
    store = postgres_store
    worker = register(store)
    [job_id] = queued(store)
    with ThreadPoolExecutor(1) as pool:
        with store.database.writing.connect() as other, other.begin():
            assert claim_operation(worker).apply_one(Transaction(other, store.database))
            rescue = pool.submit(store.write_sync, RescueWorker(worker, 0, NOW, RULES))
            wait_until(lambda: _blocked(store))
        rescued = rescue.result(30)
    assert rescued is not None
    assert [each.id for each in rescued] == [job_id]
    assert claim_one(store, idle=True).id == job_id
