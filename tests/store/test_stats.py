"""Figures: right, capped, and along an index (law 13)."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from fastapi_jobs import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import stats
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.queries import count_after, make_cursor
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    analyze,
    claim,
    failure_of,
    finish_of,
    insert,
    later,
    new_job,
    queued,
    register,
)

S = JobStatus


@pytest.fixture
def some(store: Store) -> list[UUID]:
    """Jobs of two owners in two queues: some ran, one waits, one is to come."""
    jobs = [
        new_job(queue="a" if number % 2 else "b", owner="ann" if number < 4 else "bob")
        for number in range(8)
    ]
    insert(store, *jobs)
    worker = register(store)
    ran = claim(store, worker, 4)
    for claimed, at in zip(ran, (0, 50, 100), strict=False):
        store.write_sync(finish_of(claimed, at=later(at)))
    store.write_sync(failure_of(claim(store, worker, 1)[0], at=later(200)))
    insert(store, new_job(queue="a", owner="ann", run_after=later(60)))
    return [job.id for job in jobs]


def test_the_counts_of_queues(store: Store, some: list[UUID]) -> None:
    names = store.read_sync(stats.queue_names)
    assert names == ["a", "b"]
    found = store.read_sync(stats.count_queues, [*names, "none"])
    totals = {s: sum(each.counts[s] for each in found.values()) for s in stats.LIVE}
    assert totals == {S.BLOCKED: 0, S.SCHEDULED: 1, S.QUEUED: 3, S.RUNNING: 1}
    assert found["a"].counts[S.SCHEDULED] == 1
    assert not any(found["none"].counts.values())
    assert found["none"].oldest_due_at is None
    assert store.read_sync(stats.has_queue, "a")
    assert not store.read_sync(stats.has_queue, "none")


def test_the_counts_of_one_owner(store: Store, some: list[UUID]) -> None:
    both = [store.read_sync(stats.count_queues_of_owner, each) for each in ("ann", "bob")]
    everything = store.read_sync(stats.count_queues, ["a", "b"])
    for name, found in everything.items():
        for status in stats.LIVE:
            parts = [each[name].counts[status] for each in both if name in each]
            assert sum(parts) == found.counts[status]
    assert store.read_sync(stats.count_queues_of_owner, "nobody") == {}


def test_counts_stop_at_their_cap(store: Store) -> None:
    queued(store, 30, queue="a", owner="ann")
    assert store.read_sync(stats.count_queues, ["a"], cap=20)["a"].counts[S.QUEUED] == 20
    of_ann = store.read_sync(stats.count_queues_of_owner, "ann", cap=20)
    assert of_ann["a"].counts[S.QUEUED] == 20
    queued(store, 1, queue="b")
    assert store.read_sync(stats.queue_names, 1) == ["a"]


def test_since_when_the_oldest_due_job_waits(store: Store) -> None:
    insert(store, new_job(queue="a", owner="ann", at=later(5)))
    insert(store, new_job(queue="a", owner="ann", at=later(9)))
    found = store.read_sync(stats.count_queues, ["a"])["a"]
    assert found.oldest_due_at == later(5)
    assert store.read_sync(stats.count_queues_of_owner, "ann")["a"].oldest_due_at == later(5)


def test_what_ended_of_late(store: Store, some: list[UUID]) -> None:
    ends = store.read_sync(stats.count_finished_since, later(40))
    assert ends == {S.SUCCEEDED: 2, S.FAILED: 1, S.CANCELLED: 0}
    of_both = [
        store.read_sync(stats.count_finished_since, later(40), owner=each)
        for each in ("ann", "bob")
    ]
    assert {s: of_both[0][s] + of_both[1][s] for s in ends} == ends
    assert store.read_sync(stats.count_finished_since, later(40), cap=1)[S.SUCCEEDED] == 1
    store.write_sync(RequestCancel(some[-1], later(300)))
    assert store.read_sync(stats.count_finished_since, later(250))[S.CANCELLED] == 1


def test_no_figure_scans(store: Store) -> None:
    """20,000 finished rows and a few live ones: each plan walks an index."""
    queued(store, 20_000, owner="ann", queue="a")
    with store.database.writing.connect() as connection:
        ended = "UPDATE fastapi_jobs_jobs SET status = 'succeeded', finished_at = created_at"
        connection.exec_driver_sql(ended)
        connection.commit()
    queued(store, 3, owner="ann", queue="a")
    analyze(store)
    plans: list[str] = []
    prefix = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute(prefix + statement, parameters)
        plans.append("\n".join([*(str(row) for row in cursor.fetchall()), statement]))

    event.listen(store.database.reading, "before_cursor_execute", note)
    try:
        store.read_sync(stats.queue_names)
        store.read_sync(stats.has_queue, "a")
        store.read_sync(stats.count_queues, ["a"])
        store.read_sync(stats.count_queues_of_owner, "ann")
        store.read_sync(stats.count_finished_since, NOW)
        store.read_sync(stats.count_finished_since, NOW, owner="ann")
        store.read_sync(count_after, JobFilter(owner="ann"), make_cursor(UUID(int=0)))
    finally:
        event.remove(store.database.reading, "before_cursor_execute", note)
    assert len(plans) > 15
    for plan in plans:
        assert "Seq Scan on" not in plan, plan
        # The running jobs are few: all of their own index may be read.
        rest = plan.replace("SCAN fastapi_jobs_jobs USING INDEX fastapi_jobs_jobs_running", "")
        assert "SCAN fastapi_jobs" not in rest, plan


def test_the_statuses_of_a_filter(
    store: Store, some: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = store.read_sync(stats.count_statuses, JobFilter(owner="ann"))
    assert sum(each.number for each in counts.values()) == 5
    assert counts[S.SCHEDULED] == stats.Count(1)
    assert all(each.is_all for each in counts.values())
    # Where the owner's jobs must be read to know their queue, fewer are.
    monkeypatch.setattr(stats, "FILTERED_CAP", 1)
    which = JobFilter(owner="bob", queue="a")
    assert store.read_sync(stats.count_statuses, which)[S.QUEUED].is_all is False
    everything = store.read_sync(stats.count_statuses, JobFilter(text="{}"))
    assert sum(each.number for each in everything.values()) == 9
