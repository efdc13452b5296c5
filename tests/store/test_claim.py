"""Claims: order, lanes, limits, pauses, staging, expiry, suspects; on both databases."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text

from fastapi_jobs import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import lanes, queries, staging
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.lanes import Lane, QueueLimits, suspect_waits
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.store.rescue import CrashRules, RescueWorker
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Transaction
from fastapi_jobs.store.workers import UnregisterWorker
from tests.servers import wait_until
from tests.store.driving import (
    BACKEND,
    NOW,
    analyze,
    attempts_of,
    claim,
    claim_one,
    claim_operation,
    finish_of,
    insert,
    job_of,
    later,
    new_job,
    open_store,
    queued,
    register,
    rules,
)


def test_a_claim_writes_owner_attempt_and_fence(store: Store) -> None:
    [job_id] = queued(store, backend="thread")
    worker = register(store)
    assert claim(store, worker) == []  # no slot of that backend is free
    [job_id] = queued(store)
    [claimed] = claim(store, worker, at=later(1))
    record = job_of(store, job_id)
    assert (claimed.id, claimed.backend, claimed.attempt, claimed.fence) == (
        *(job_id, "asyncio"),
        *(1, 1),
    )
    assert (record.status, record.worker_id, record.started_at) == ("running", worker, later(1))
    [run] = attempts_of(store, job_id)
    assert (run.number, run.fence, run.worker_id, run.outcome) == (1, 1, worker, None)
    assert run.backend == "asyncio"


def test_a_host_whose_clock_is_behind_starts_no_job_before_it_was_made(store: Store) -> None:
    [job_id] = queued(store, at=later(1))
    [claimed] = claim(store, register(store), at=NOW)
    assert claimed.started_at == later(1)
    assert job_of(store, job_id).started_at == later(1)
    assert attempts_of(store, job_id)[0].started_at == later(1)


def test_first_in_first_out(store: Store) -> None:
    ids = queued(store, 10)
    worker = register(store)
    assert [each.id for each in claim(store, worker, 4)] == ids[:4]
    assert [each.id for each in claim(store, worker)] == ids[4:]


def test_priorities_over_the_whole_queue(store: Store) -> None:
    """No prefetch: the largest priority of all tasks and ages goes first."""
    low = queued(store, 5, task="a", priority=-100)
    middle = queued(store, 5, task="b")
    high = queued(store, 5, task="c", priority=100)
    worker = register(store)
    assert [each.id for each in claim(store, worker, 7)] == high + middle[:2]
    [urgent] = queued(store, task="a", priority=1)
    assert [each.id for each in claim(store, worker)] == [urgent, *middle[2:], *low]


def test_queue_priorities_come_before_job_priorities(store: Store) -> None:
    [plain] = queued(store, queue="plain", priority=100)
    [vip] = queued(store, queue="vip", priority=-100)
    options: Any = {"queues": {"vip": QueueLimits(priority=1)}}
    assert [each.id for each in claim(store, register(store), **options)] == [vip, plain]


def test_a_claim_takes_no_more_than_its_room(store: Store) -> None:
    queued(store, 3)
    worker = register(store)
    assert claim(store, worker, 0) == []
    assert len(claim(store, worker, 2)) == 2
    assert len(claim(store, worker, 2)) == 1
    assert claim(store, worker, 2) == []


def test_unknown_tasks_wait_and_starve_nobody(store: Store) -> None:
    unknown = queued(store, 100, task="unknown", priority=100)
    [known] = queued(store, task="known")
    worker = register(store)
    assert [each.id for each in claim(store, worker, tasks=["known"])] == [known]
    assert job_of(store, unknown[0]).status == JobStatus.QUEUED


def test_a_worker_without_a_row_claims_nothing(store: Store) -> None:
    """Law 5: a claim requires its worker's row."""
    queued(store)
    assert claim(store, uuid4()) == []
    worker = register(store)
    store.write_sync(UnregisterWorker(worker))
    assert claim(store, worker) == []


def test_a_paused_queue_is_passed_over(store: Store) -> None:
    queued(store, 2, queue="paused")
    [other] = queued(store, queue="open")
    worker = register(store)
    store.write_sync(PauseQueue("paused", NOW, by="me", reason="repairs"))
    [row] = store.read_sync(queries.get_queues)
    assert (row.paused, row.paused_at, row.paused_by, row.pause_reason) == (
        *(True, NOW),
        *("me", "repairs"),
    )
    assert [each.id for each in claim(store, worker)] == [other]
    store.write_sync(ResumeQueue("paused"))
    assert len(claim(store, worker)) == 2


def test_a_person_resumes_a_queue_that_the_settings_pause(store: Store) -> None:
    queued(store)
    worker = register(store)
    options: Any = {"queues": {"q": QueueLimits(paused=True)}}
    assert claim(store, worker, **options) == []
    store.write_sync(ResumeQueue("q"))
    assert len(claim(store, worker, **options)) == 1


def test_limits_of_queues_and_tasks(store: Store) -> None:
    queued(store, 5, queue="limited", task="a")
    queued(store, 5, queue="limited", task="narrow")
    queued(store, 5, queue="open", task="narrow")
    worker = register(store)
    options: Any = {"queues": {"limited": QueueLimits(3)}, "task_limits": {"narrow": 2}}
    claimed = claim(store, worker, **options)
    assert Counter(each.queue for each in claimed)["limited"] == 3
    assert Counter(each.task for each in claimed)["narrow"] == 2
    assert claim(store, worker, **options) == []
    for each in claimed:
        store.write_sync(finish_of(each))
    again = claim(store, worker, **options)
    assert Counter(each.queue for each in again)["limited"] == 3


def test_a_limit_holds_over_stores_and_threads(database_url: str) -> None:
    """Law 4: exactly three, however many processes claim at once."""
    with open_store(database_url) as one, open_store(database_url) as two:
        queued(one, 60, queue="limited")
        queued(one, 60, queue="other", task="narrow")
        lock, running, highest = threading.Lock(), Counter[str](), Counter[str]()
        done: list[UUID] = []
        options: Any = {"queues": {"limited": QueueLimits(3)}, "task_limits": {"narrow": 2}}

        def work(store: Store) -> None:
            worker = register(store)
            while len(done) < 120:
                claimed = claim(store, worker, 2, **options)
                with lock:
                    running.update(each.queue for each in claimed)
                    for name, count in running.items():
                        highest[name] = max(highest[name], count)
                for each in claimed:
                    with lock:
                        running[each.queue] -= 1
                    assert store.write_sync(finish_of(each)) is JobStatus.SUCCEEDED
                    done.append(each.id)

        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(work, store) for store in (one, two, one, two)]:
                each.result(60)
        assert len(set(done)) == len(done) == 120
        assert highest["limited"] <= 3
        assert highest["other"] <= 2


@pytest.mark.parametrize(
    "options", [{"queues": {"q": QueueLimits(1)}}, {"task_limits": {"t": 1}}], ids=["queue", "task"]
)
def test_a_claim_waits_for_another_of_the_same_limit(
    postgres_store: Store, options: dict[str, Any]
) -> None:
    """The last room is counted under a lock: two claims that overlap cannot both have it."""
    store = postgres_store
    queued(store, 2)
    first, second = register(store), register(store)
    with ThreadPoolExecutor(1) as pool:
        with store.database.writing.connect() as other, other.begin():
            mine = claim_operation(first, **options).apply_one(Transaction(other, store.database))
            theirs = pool.submit(claim, store, second, **options)
            wait_until(lambda: theirs.done() or _blocked(store))
        assert len(mine) == 1
        assert theirs.result(30) == []


def _blocked(store: Store) -> bool:
    statement = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(store.read_sync(lambda connection: connection.execute(statement).scalar_one()))


def test_no_job_is_claimed_twice_by_racing_stores(database_url: str) -> None:
    with open_store(database_url) as one, open_store(database_url) as two:
        ids = queued(one, 300)

        def work(store: Store) -> list[UUID]:
            mine: list[UUID] = []
            worker = register(store)
            while batch := claim(store, worker, 7):
                mine.extend(each.id for each in batch)
            return mine

        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(work, (one, two, one, two)))
        # A claim that found all the rest locked by others came back empty: they have it.
        assert sorted(job_id for part in parts for job_id in part) == ids


def test_scheduled_jobs_become_due(store: Store) -> None:
    [job_id] = queued(store, run_after=later(10))
    worker = register(store)
    assert claim(store, worker, at=later(9.9)) == []
    assert job_of(store, job_id).status == JobStatus.SCHEDULED
    peek = store.read_sync(queries.peek)
    assert (peek.queued, peek.next_due) == (False, later(10))
    assert [each.id for each in claim(store, worker, at=later(10))] == [job_id]


def test_expired_jobs_are_cancelled(store: Store) -> None:
    heard: list[UUID] = []
    store.listen(lambda hints: heard.extend(hints.finished))
    [waiting] = queued(store, expires_at=later(5))
    [scheduled] = queued(store, run_after=later(60), expires_at=later(5))
    [fresh] = queued(store, expires_at=later(6))
    assert [each.id for each in claim(store, register(store), at=later(5))] == [fresh]
    for each in (waiting, scheduled):
        record = job_of(store, each)
        assert (record.status, record.reason) == ("cancelled", "expired")
        assert record.finished_at == later(5)
    wait_until(lambda: {waiting, scheduled} <= set(heard))


def test_no_expired_job_starts_however_many_expire(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "STAGE_LIMIT", 2)
    queued(store, 5, expires_at=later(1))
    worker = register(store)
    assert [claim(store, worker, at=later(2)) for _ in range(3)] == [[], [], []]
    counts = store.read_sync(queries.count_jobs, JobFilter())
    assert counts[JobStatus.CANCELLED] == 5


def test_suspects_run_alone_and_first(store: Store) -> None:
    """Law 6: after a shared crash the suspects run one at a time."""
    suspects = queued(store, 3)
    _crash(store)
    [innocent] = queued(store)
    worker = register(store)
    assert [each.id for each in claim(store, worker)] == [innocent]
    [alone] = claim(store, worker, idle=True)
    assert (alone.id, alone.suspect) == (suspects[0], True)
    store.write_sync(finish_of(alone))
    assert job_of(store, alone.id).suspect == 0


def test_who_looks_is_told_of_a_suspect_and_takes_nothing(store: Store) -> None:
    """Whoever is told sees to it that nothing else starts, and asks again."""
    queued(store, 3)
    worker = register(store)
    operation = claim_operation(worker, 1)
    operation.looks = True
    assert len(store.write_sync(operation)) == 1
    assert not operation.suspect_waits
    _crash(store)
    operation = claim_operation(worker)
    operation.looks = True
    assert store.write_sync(operation) == []
    assert operation.suspect_waits
    operation = claim_operation(worker, tasks=["other"])
    operation.looks = True
    assert store.write_sync(operation) == []
    assert not operation.suspect_waits


def test_unknown_suspects_starve_nobody(store: Store) -> None:
    queued(store, 60, task="unknown")
    [known] = queued(store, task="known")
    _crash(store)
    [claimed] = claim(store, register(store), idle=True, tasks=["known"])
    assert claimed.id == known


def test_nobody_makes_way_for_a_suspect_that_cannot_run(store: Store) -> None:
    queued(store, 2, queue="q", task="known")
    paused = {"q": QueueLimits(paused=True)}

    def waits(**rule: Any) -> bool:
        return store.read_sync(suspect_waits, rules(**rule))

    assert not waits()
    _crash(store)
    assert waits()
    assert not waits(tasks=["other"])
    assert not waits(queues=paused)
    store.write_sync(PauseQueue("q", NOW))
    assert not waits()
    store.write_sync(ResumeQueue("q"))
    assert waits(queues=paused)  # a person's word is above the settings


def test_a_suspect_waits_for_room(store: Store) -> None:
    queued(store, 2)
    _crash(store)
    assert claim(store, register(store), 0, idle=True) == []


def _crash(store: Store) -> None:
    worker = register(store)
    assert len(claim(store, worker)) > 1
    assert store.write_sync(RescueWorker(worker, 0, NOW, CrashRules(3)))


def test_a_full_lane_of_20_000_is_not_read(database_url: str) -> None:
    """Rows behind a pause, a full limit or an unknown task cost a claim nothing (law 13)."""
    with open_store(database_url) as store:
        _fill(store)
        plans: list[str] = []
        worker = register(store)
        explain = _explaining(store, plans)
        with explain:
            claimed = claim(store, worker, 5, tasks=["known"])
            for queue in ("q0", "empty"):
                store.write_sync(InsertJobs([new_job(queue=queue)], worker, BACKEND))
        assert len(claimed) == 5
        assert len(plans) >= (6 if store.database.is_sqlite else 2)  # lanes: many steps, or one
        for plan in plans:
            assert "fastapi_jobs_jobs_claim" in plan, plan
            assert "Seq Scan" not in plan
            assert "TEMP B-TREE" not in plan
            assert "SCAN" not in plan or "SCAN fastapi_jobs_jobs USING" in plan, plan


def _fill(store: Store) -> None:
    jobs = [
        new_job(task="unknown" if number % 4 else f"unknown{number % 3}", queue=f"q{number % 2}")
        for number in range(20_000)
    ]
    insert(store, *jobs)
    queued(store, 50, task="known", queue="q1", priority=-5)
    analyze(store)


class _explaining:
    """Note the plan of every statement that looks for queued jobs."""

    def __init__(self, store: Store, plans: list[str]) -> None:
        self.store, self.plans = store, plans

    def __enter__(self) -> None:
        event.listen(self.store.database.writing, "before_cursor_execute", self._note)

    def __exit__(self, *_: object) -> None:
        event.remove(self.store.database.writing, "before_cursor_execute", self._note)

    def _note(self, _c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "SELECT" in statement and "status = 'queued' AND fastapi_jobs_jobs.suspect = 0" in (
            statement
        ):
            prefix = "EXPLAIN QUERY PLAN " if self.store.database.is_sqlite else "EXPLAIN "
            cursor.execute(prefix + statement, parameters)
            self.plans.append("\n".join(str(row) for row in cursor.fetchall()))


def test_lanes_are_found_in_steps(store: Store) -> None:
    for number in range(3):
        queued(store, 50, task=f"t{number}", queue=f"q{number % 2}")
    with store.database.reading.connect() as connection:
        looked = lanes.waiting_lanes(connection)
    assert looked == [Lane("q0", "t0", ""), Lane("q0", "t2", ""), Lane("q1", "t1", "")]
    assert store.read_sync(queries.queued_tasks) == ["t0", "t1", "t2"]


def test_a_claim_skips_rows_that_somebody_holds(postgres_store: Store) -> None:
    first, second = queued(postgres_store, 2)
    worker = register(postgres_store)
    with postgres_store.database.writing.connect() as other, other.begin():
        statement = text("SELECT 1 FROM fastapi_jobs_jobs WHERE id = :id FOR UPDATE")
        other.execute(statement, {"id": first})
        assert [each.id for each in claim(postgres_store, worker)] == [second]
    assert claim_one(postgres_store, worker).id == first


def test_time_is_the_callers(store: Store) -> None:
    """Wall clocks of databases are never asked."""
    [job_id] = queued(store, at=NOW - timedelta(days=9000))
    claimed = claim_one(store, at=NOW - timedelta(days=8000))
    assert claimed.started_at == NOW - timedelta(days=8000)
    assert job_of(store, job_id).created_at == NOW - timedelta(days=9000)
