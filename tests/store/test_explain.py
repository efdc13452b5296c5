"""The facts behind `explain`: capped, and along an index (law 13)."""

from typing import Any

import pytest
from sqlalchemy import event

from fastapi_jobs.store import explain
from fastapi_jobs.store.explain import Facts, Rivals, Standing, gather
from fastapi_jobs.store.lanes import Lane
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    analyze,
    claim,
    finish_of,
    insert_unique,
    later,
    queued,
    register,
)


def everything(standing: Standing) -> Rivals:
    """Each lane competes."""
    return Rivals(equal=standing.lanes)


def facts_of(store: Store, job_id: Any) -> Facts:
    """The facts about a job that exists."""
    found = store.read_sync(gather, job_id, everything)
    assert found is not None
    return found


def test_what_is_ahead_is_counted_by_lane_and_priority(store: Store) -> None:
    queued(store, 3, priority=5)
    queued(store, 2)
    queued(store, 1, task="u", queue="other", priority=9)
    [mine] = queued(store)
    queued(store, 4, priority=-1)
    queued(store, 4)
    found = {(each.lane, each.priority): each.count for each in facts_of(store, mine).ahead}
    assert found == {
        (Lane("q", "t", ""), 5): 3,
        (Lane("q", "t", ""), 0): 2,
        (Lane("other", "u", ""), 9): 1,
    }
    first = store.read_sync(gather, mine, lambda standing: Rivals(first=standing.lanes))
    assert first is not None
    assert sum(each.count for each in first.ahead) == 15


def test_counts_and_reads_stop_at_their_caps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "AHEAD_CAP", 10)
    monkeypatch.setattr(explain, "RUNNING_CAP", 4)
    queued(store, 8)
    claim(store, register(store), 6)
    queued(store, 8, priority=5)
    queued(store, 8, task="u", priority=5)
    [mine] = queued(store)
    facts = facts_of(store, mine)
    assert sum(each.count for each in facts.ahead) == 10
    assert len(facts.standing.running) == 4


def test_what_no_answer_needs_is_not_read(store: Store) -> None:
    [running, waiting] = queued(store, 2)
    worker = register(store)
    [claimed] = claim(store, worker, 1)
    assert facts_of(store, running).standing.running == []
    assert len(facts_of(store, waiting).standing.running) == 1
    store.write_sync(finish_of(claimed))
    ended = facts_of(store, running).standing
    assert (ended.workers, ended.lanes, ended.running) == ([], [], [])
    assert ended.attempt is not None
    assert ended.attempt.worker_id == worker


def test_no_fact_scans(store: Store) -> None:
    """100 running and 40,000 waiting rows: each plan walks an index."""
    queued(store, 20_000)
    claim(store, register(store), 100)
    queued(store, 20_000, at=later(1))
    held = insert_unique(store, "key")
    store.write_sync(RequestCancel(held.id, NOW))
    insert_unique(store, "key")
    [mine] = queued(store, priority=-5)
    analyze(store)
    plans: list[str] = []
    prefix = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute(prefix + statement, parameters)
        plans.append("\n".join([*(str(row) for row in cursor.fetchall()), statement]))

    event.listen(store.database.reading, "before_cursor_execute", note)
    try:
        facts_of(store, mine)
        assert facts_of(store, held.id).standing.key_holder is not None
    finally:
        event.remove(store.database.reading, "before_cursor_execute", note)
    assert len(plans) > 8
    for plan in plans:
        assert "Seq Scan on fastapi_jobs_jobs" not in plan, plan
        unindexed = [
            line
            for line in plan.splitlines()
            if "SCAN fastapi_jobs_jobs" in line and "USING" not in line
        ]
        assert not unindexed, plan
