"""What ended of late and what runs now: right, honest where it is cut, and along an index."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.status import FINAL, JobStatus
from fastapi_jobs.store import figures
from fastapi_jobs.store.figures import RecentEnds, recent_ends, running_now
from fastapi_jobs.store.finish import ReleaseJobs
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    analyze,
    claim,
    claim_one,
    failure_of,
    finish_of,
    insert,
    later,
    new_job,
    queued,
    register,
    retry_of,
)

S = JobStatus
MINUTE = timedelta(minutes=1)
_numbers = count()


@pytest.fixture
def worker(store: Store) -> UUID:
    """The one worker."""
    return register(store)


def made(store: Store, some: int, task: str = "t", at: float = 0, **changes: Any) -> list[UUID]:
    """Jobs whose ids are of the time at which they were made."""
    jobs = [new_job(task, at=later(at), **changes) for _ in range(some)]
    for job in jobs:
        job.id = UUID(int=first_uuid7(later(at)).int + next(_numbers))
    insert(store, *jobs)
    return [job.id for job in jobs]


def run(store: Store, worker: UUID, waited: Sequence[float], ran: Sequence[float]) -> None:
    """Run what waits, each job so many seconds after NOW and for so many seconds."""
    for start, seconds in zip(waited, ran, strict=True):
        [claimed] = claim(store, worker, 1, at=later(start))
        store.write_sync(finish_of(claimed, at=later(start + seconds)))


def ends(store: Store, since: float = -60, cap: int | None = None, **options: Any) -> RecentEnds:
    """What ended since so many seconds after NOW, among the newest `cap` of each status."""
    if cap is not None:
        options["caps"] = dict.fromkeys(FINAL, cap)
    return store.read_sync(recent_ends, since=later(since), **options)


def test_nothing_ended(store: Store) -> None:
    queued(store, 2)
    assert ends(store) == RecentEnds(covers_since=later(-60))


def test_what_ended_in_each_minute(store: Store, worker: UUID) -> None:
    made(store, 4)
    run(store, worker, [0, 0, 61, 100], [10, 59.999999, 0, 80])
    [claimed] = _claimed(store, worker, "fails")
    store.write_sync(failure_of(claimed, at=later(59)))
    [cancelled] = queued(store, task="waits")
    store.write_sync(RequestCancel(cancelled, later(200)))
    found = ends(store)
    assert found.minutes == {
        NOW: {S.SUCCEEDED: 2, S.FAILED: 1},
        NOW + MINUTE: {S.SUCCEEDED: 1},
        NOW + 3 * MINUTE: {S.SUCCEEDED: 1, S.CANCELLED: 1},
    }
    assert list(found.minutes) == sorted(found.minutes)
    counts = {n: (t.succeeded, t.failed, t.cancelled) for n, t in found.tasks.items()}
    assert counts == {"t": (4, 0, 0), "fails": (0, 1, 0), "waits": (0, 0, 1)}
    assert found.covers_since == later(-60)
    assert ends(store, since=150).tasks.keys() == {"t", "waits"}


def _claimed(store: Store, worker: UUID, task: str) -> list[Claimed]:
    queued(store, task=task)
    return claim(store, worker, 1)


def test_the_times_of_a_task(store: Store, worker: UUID) -> None:
    made(store, 20, "a")
    run(store, worker, range(1, 21), [n / 10 for n in range(20, 0, -1)])
    task = ends(store).tasks["a"]
    assert (task.run_p50, task.run_p95, task.wait_p50) == (1.0, 1.9, 10.0)
    made(store, 1, "b", run_after=later(30))
    run(store, worker, [34], [2])
    task = ends(store).tasks["b"]
    assert (task.run_p50, task.run_p95, task.wait_p50) == (2.0, 2.0, 4.0)


def test_the_wait_of_what_ran_before(store: Store, worker: UUID) -> None:
    """A retry waits from when it is due; of what was given back nobody knows when it was."""
    made(store, 1, "retried")
    store.write_sync(retry_of(claim_one(store, worker), after=10))
    run(store, worker, [13], [1])
    made(store, 1, "released")
    claimed = claim_one(store, worker)
    store.write_sync(ReleaseJobs([(claimed.id, claimed.fence)], later(20)))
    run(store, worker, [25], [1])
    found = ends(store).tasks
    assert found["retried"].wait_p50 == 3.0
    assert (found["released"].run_p50, found["released"].wait_p50) == (1.0, None)


def test_the_newest_failure(store: Store, worker: UUID) -> None:
    ids = made(store, 3)
    for number, claimed in enumerate(claim(store, worker)):
        end = failure_of(claimed, at=later(number))
        end.finish.error = f"boom {number} " + "x" * 1000
        store.write_sync(end)
    task = ends(store).tasks["t"]
    assert task.last_failed == ids[-1]
    assert task.last_error is not None
    assert task.last_error.startswith("boom 2 xxx")
    assert len(task.last_error) == 500


def test_it_says_from_when_on_all_is_there(store: Store, worker: UUID) -> None:
    for second in range(10):
        made(store, 1, at=second)
    run(store, worker, range(10), [0] * 10)
    assert ends(store, cap=10).covers_since == later(0)
    assert ends(store, cap=11).covers_since == later(-60)
    found = ends(store, cap=4)
    assert found.covers_since == later(6)
    assert found.tasks["t"].succeeded == 4
    assert ends(store, since=8, cap=4).covers_since == later(8)


def test_times_are_told_of_the_worst_tasks(
    store: Store, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "TIMED_TASKS", 2)
    made(store, 1, "rare")
    made(store, 3, "often")
    run(store, worker, [0] * 4, [1] * 4)
    store.write_sync(failure_of(*_claimed(store, worker, "fails"), at=later(1)))
    found = ends(store).tasks
    assert {name for name, task in found.items() if task.run_p50 is not None} == {"often", "fails"}
    assert found["rare"].succeeded == 1


def test_an_old_job_that_failed_anew(
    store: Store, worker: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is of late, but it is not among the newest of its task."""
    monkeypatch.setattr(figures, "TIMED_JOBS", 1)
    made(store, 2)
    old, new = claim(store, worker)
    store.write_sync(failure_of(new, at=NOW))
    store.write_sync(failure_of(old, at=later(100)))
    task = ends(store, since=50).tasks["t"]
    assert (task.failed, task.last_error, task.run_p50) == (1, None, None)


def test_what_runs_now(store: Store, worker: UUID) -> None:
    other = register(store)
    queued(store, 5)
    mine = claim(store, worker, 3, at=later(5))
    theirs = claim(store, other, 1, at=later(1))
    now = store.read_sync(running_now, 2)
    assert [each.id for each in now.items] == [theirs[0].id, mine[0].id]
    assert (now.items[0].task, now.items[0].queue, now.items[0].progress) == ("t", "q", None)
    assert (now.items[0].worker_id, now.items[0].started_at) == (other, later(1))
    assert now.by_worker == {worker: 3, other: 1}
    for each in (*mine, *theirs):
        store.write_sync(finish_of(each, at=later(9)))
    assert store.read_sync(running_now) == figures.RunningNow([], {})


def test_no_figure_scans(store: Store) -> None:
    """20,000 finished rows, of which few are looked at: each plan walks an index."""
    queued(store, 20_000)
    with store.database.writing.connect() as connection:
        ended = "UPDATE fastapi_jobs_jobs SET status = 'succeeded', finished_at = created_at"
        connection.exec_driver_sql(ended)
        connection.commit()
    analyze(store)
    plans: list[str] = []
    prefix = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute(prefix + statement, parameters)
        plans.append("\n".join([*(str(row) for row in cursor.fetchall()), statement]))

    event.listen(store.database.reading, "before_cursor_execute", note)
    try:
        assert ends(store, cap=100).tasks["t"].succeeded == 100
        store.read_sync(running_now)
    finally:
        event.remove(store.database.reading, "before_cursor_execute", note)
    assert len(plans) == 6
    for plan in plans:
        assert "Seq Scan on" not in plan, plan
        rest = plan.replace("SCAN fastapi_jobs_jobs USING INDEX fastapi_jobs_jobs_running", "")
        assert "SCAN fastapi_jobs" not in rest, plan


def test_the_lines_of_queues(store: Store, worker: UUID) -> None:
    made(store, 3, queue="a")
    run(store, worker, [0, 0, 0], [1, 61, 62])
    made(store, 2, "other", queue="b")
    run(store, worker, [0, 0], [63, 130])
    assert ends(store).queues == {}
    assert ends(store, lines_since=later(60)).queues == {
        "a": {NOW + MINUTE: 2},
        "b": {NOW + MINUTE: 1, NOW + 2 * MINUTE: 1},
    }
    assert ends(store, lines_since=later(0)).queues["a"] == {NOW: 1, NOW + MINUTE: 2}
