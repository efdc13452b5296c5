"""What waits in each lane, counted along the index on claims."""

from typing import Any

import pytest
from sqlalchemy import event, update

from fastapi_jobs.store import probe
from fastapi_jobs.store.lanes import Lane
from fastapi_jobs.store.probe import WAITING_CAP, look_at_jobs
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import jobs
from tests.store.driving import queued


def suspect(store: Store, task: str) -> None:
    """As a shared crash leaves the jobs of a task."""
    with store.database.writing.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.task == task).values(suspect=1))


def test_suspects_are_counted_with_the_others(store: Store) -> None:
    queued(store, 2, task="crashed")
    suspect(store, "crashed")
    queued(store, 3, task="crashed")
    queued(store, 1, task="lonely")
    suspect(store, "lonely")
    queued(store, 4, task="t", queue="mail")
    assert dict(store.read_sync(look_at_jobs).lanes) == {
        Lane("q", "crashed", ""): 2 + 3,
        Lane("q", "lonely", ""): 1,
        Lane("mail", "t", ""): 4,
    }


def test_counting_stops_at_the_cap(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "WAITING_CAP", 3)
    queued(store, 2, task="t")
    suspect(store, "t")
    queued(store, 5, task="t")
    assert [count for _, count in store.read_sync(look_at_jobs).lanes] == [3]
    assert WAITING_CAP > 3


def test_a_lane_is_counted_along_the_index_on_claims(sqlite_url: str) -> None:
    store = Store(sqlite_url)
    queued(store, 3, task="t")
    plans: list[str] = []

    def explain(_c: object, cursor: object, statement: str, given: Any, *_: object) -> None:
        if "suspect" in statement and "count(" in statement:
            rows = store.database.reading.raw_connection().cursor()
            rows.execute(f"EXPLAIN QUERY PLAN {statement}", given)
            plans.append(str(rows.fetchall()))

    event.listen(store.database.reading, "before_cursor_execute", explain)
    store.read_sync(look_at_jobs)
    store.close()
    assert len(plans) == 2
    assert "fastapi_jobs_jobs_suspect" in plans[0]
    assert "fastapi_jobs_jobs_claim" in plans[1]
