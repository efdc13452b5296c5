"""A person's word on a queue's limits: over the settings until it is taken back."""

import pytest

from fastapi_jobs.models import QueueRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.lanes import QueueLimits, in_force
from fastapi_jobs.store.queries import get_queues
from fastapi_jobs.store.queues import LimitQueue, PauseQueue
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Hints
from tests.servers import wait_until
from tests.store.driving import BACKEND, NOW, apply_lost, claim, new_job, queued, register


def test_a_limit_and_back_to_the_settings(store: Store) -> None:
    worker, declared = register(store), {"q": QueueLimits(max_running=3)}
    queued(store, 10)
    apply_lost(store, LimitQueue("q", {"max_running": 1}))
    assert len(claim(store, worker, queues=declared)) == 1
    store.write_sync(LimitQueue("q", {"max_running": None}))
    assert len(claim(store, worker, queues=declared)) == 2
    store.write_sync(LimitQueue("q", {"max_running": 0}))
    assert len(claim(store, worker, queues=declared)) == 7


def test_the_rank_of_a_queue(store: Store) -> None:
    worker, declared = register(store), {"a": QueueLimits(priority=5)}
    ids = {name: queued(store, 3, queue=name) for name in ("a", "b")}

    def next_one() -> str:
        [claimed] = claim(store, worker, 1, queues=declared)
        return next(name for name, some in ids.items() if claimed.id in some)

    assert next_one() == "a"
    store.write_sync(LimitQueue("b", {"priority": 6}))
    assert next_one() == "b"
    store.write_sync(LimitQueue("b", {"priority": None}))
    assert next_one() == "a"


def test_what_is_absent_stays(store: Store) -> None:
    store.write_sync(LimitQueue("q", {"max_running": 2}))
    store.write_sync(PauseQueue("q", NOW, "ann"))
    store.write_sync(LimitQueue("q", {"priority": 4}))
    store.write_sync(LimitQueue("q", {}))
    [row] = store.read_sync(get_queues)
    assert (row.max_running, row.priority, row.paused) == (2, 4, True)
    store.write_sync(LimitQueue("q", {"max_running": None, "priority": None}))
    [row] = store.read_sync(get_queues)
    assert (row.max_running, row.priority, row.paused) == (None, None, True)


@pytest.mark.parametrize("limit", [1, 0, None])
def test_an_insert_that_is_a_claim(store: Store, limit: int | None) -> None:
    """Only where nothing limits its queue, as others may run there."""
    worker = register(store)
    store.write_sync(LimitQueue("q", {"max_running": limit}))
    wish = InsertJobs([new_job()], claimer=worker, claimer_backend=BACKEND)
    [inserted] = store.write_sync(wish)
    assert inserted.status is (JobStatus.QUEUED if limit else JobStatus.RUNNING)


def test_who_waits_for_room_is_told(store: Store) -> None:
    heard: list[Hints] = []
    store.listen(heard.append)
    store.write_sync(LimitQueue("q", {"max_running": 5}))
    wait_until(lambda: bool(heard))  # who wrote is answered first
    assert [each.queued for each in heard] == [True]


def test_what_is_in_force() -> None:
    declared = QueueLimits(max_running=3, priority=2, paused=True)
    assert in_force(declared, None) == declared
    assert in_force(declared, QueueRecord(name="q")) == declared
    changed = QueueRecord(name="q", max_running=0, priority=0, paused=False)
    assert in_force(declared, changed) == QueueLimits(None, 0, False)
