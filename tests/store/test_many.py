"""Many jobs changed at once, each by its own move."""

from uuid import UUID, uuid4

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.errors import JobChanged
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.many import CancelJobs, Changed, DeleteMany, RetryJobs
from fastapi_jobs.store.moves import EditJob, RequestCancel
from fastapi_jobs.store.queries import count_after, make_cursor
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Operation
from tests.store.driving import (
    NOW,
    apply_lost,
    claim_one,
    finish_of,
    insert,
    insert_unique,
    job_of,
    later,
    new_job,
    queued,
    register,
)

S = JobStatus


@pytest.fixture
def mixed(store: Store) -> dict[str, UUID]:
    """One job of each kind."""
    worker = register(store)
    [ended] = queued(store)
    store.write_sync(finish_of(claim_one(store, worker)))
    [running] = queued(store)
    claim_one(store, worker)
    [waiting] = queued(store)
    insert(store, scheduled := new_job(run_after=later(60)))
    return {
        "ended": ended,
        "running": running,
        "waiting": waiting,
        "scheduled": scheduled.id,
        "nowhere": uuid4(),
    }


def test_each_by_its_own_move(store: Store, mixed: dict[str, UUID]) -> None:
    ids = list(mixed.values())
    cancelled = store.write_sync(CancelJobs(ids, NOW))
    assert cancelled == Changed(done=2, asked=1, refused=2)
    assert job_of(store, mixed["running"]).cancel_requested_at == NOW
    assert store.write_sync(RetryJobs(ids, NOW)) == Changed(done=3, refused=2)
    assert job_of(store, mixed["ended"]).status == S.QUEUED
    store.write_sync(RequestCancel(mixed["ended"], NOW))
    assert store.write_sync(DeleteMany(ids)) == Changed(done=1, refused=4)
    assert store.read_sync(queries.get_job, mixed["ended"]) is None


def test_a_held_key_refuses_only_its_job(store: Store) -> None:
    first = insert_unique(store, "k").id
    store.write_sync(RequestCancel(first, NOW))
    insert_unique(store, "k")
    [free] = queued(store)
    store.write_sync(RequestCancel(free, NOW))
    assert store.write_sync(RetryJobs([first, free], NOW)) == Changed(done=1, refused=1)


@pytest.mark.parametrize("kind", ["cancel", "retry", "delete"])
def test_a_repetition_says_the_same(store: Store, kind: str) -> None:
    ids = queued(store, 3)
    operations: dict[str, Operation[Changed]] = {
        "cancel": CancelJobs(ids, NOW),
        "retry": RetryJobs(ids, NOW),
        "delete": DeleteMany(ids),
    }
    if kind != "cancel":
        store.write_sync(CancelJobs(ids, NOW))
    assert apply_lost(store, operations[kind]) == Changed(done=3)


def test_how_many_come_after_a_cursor(store: Store) -> None:
    ids = queued(store, 6, task="t")
    cursor = make_cursor(ids[1])
    assert store.read_sync(count_after, JobFilter(), cursor) == 4
    assert store.read_sync(count_after, JobFilter(task="t", queue="q"), cursor) == 4
    assert store.read_sync(count_after, JobFilter(task="t", queue="x"), cursor) == 0
    assert store.read_sync(count_after, JobFilter(statuses=[S.QUEUED]), cursor, cap=3) == 3


class TestEditWhatWasSeen:
    """An edit with `seen` changes only what its caller saw."""

    def test_unchanged(self, store: Store) -> None:
        [job] = queued(store, tags=("x",))
        seen = job_of(store, job)
        assert store.write_sync(EditJob(job, NOW, {"priority": 3}, seen)) is S.QUEUED

    @pytest.mark.parametrize(
        "change", [{"priority": 1}, {"queue": "z"}, {"tags": ["y"]}, {"run_after": later(9)}]
    )
    def test_changed(self, store: Store, change: dict[str, object]) -> None:
        [job] = queued(store, tags=("x",))
        seen = job_of(store, job)
        store.write_sync(EditJob(job, NOW, change))
        with pytest.raises(JobChanged, match="has changed since you saw it"):
            store.write_sync(EditJob(job, NOW, {"priority": 3}, seen))

    def test_repeated(self, store: Store) -> None:
        [job] = queued(store)
        edit = EditJob(job, NOW, {"priority": 3}, job_of(store, job))
        assert apply_lost(store, edit) is S.QUEUED
