"""A quieted worker claims nothing more, in whichever way, and goes on with what it runs."""

from uuid import UUID, uuid4

import pytest

from fastapi_jobs.errors import WorkerNotFound
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim_one import ClaimById, ClaimNext
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.lanes import Lane
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Hints
from fastapi_jobs.store.workers import Beaten, Pulse, QuietWorker, may_claim
from tests.servers import wait_until
from tests.store.driving import (
    BACKEND,
    NOW,
    apply_lost,
    claim,
    claim_one,
    finish_of,
    job_of,
    later,
    new_job,
    queued,
    register,
    rules,
)


@pytest.fixture
def quiet(store: Store) -> UUID:
    """A quieted worker."""
    worker = register(store)
    apply_lost(store, QuietWorker(worker, True))
    return worker


def test_claims(store: Store, quiet: UUID) -> None:
    queued(store, 2)
    assert claim(store, quiet, 1) == []
    assert len(claim(store, register(store), 1)) == 1
    store.write_sync(QuietWorker(quiet, False))
    assert len(claim(store, quiet, 1)) == 1


def test_claims_of_single_jobs(store: Store, quiet: UUID) -> None:
    [job] = queued(store)
    by_id = ClaimById(id=job, worker=quiet, rules=rules(), backend=BACKEND, now=NOW)
    assert store.write_sync(by_id) is None
    lane = Lane("q", "t", "")
    following = ClaimNext(lane=lane, worker=quiet, rules=rules(), backend=BACKEND, now=NOW)
    assert store.write_sync(following) is None
    store.write_sync(QuietWorker(quiet, False))
    claimed = store.write_sync(by_id)
    assert claimed is not None
    assert claimed.id == job


def test_an_insert_that_would_be_a_claim(store: Store, quiet: UUID) -> None:
    wish = InsertJobs([new_job()], claimer=quiet, claimer_backend=BACKEND)
    [inserted] = store.write_sync(wish)
    assert inserted.status is JobStatus.QUEUED


def test_what_it_runs_goes_on(store: Store) -> None:
    worker, [job] = register(store), queued(store)
    claimed = claim_one(store, worker)
    store.write_sync(QuietWorker(worker, True))
    store.write_sync(finish_of(claimed))
    assert job_of(store, job).status == JobStatus.SUCCEEDED


def test_its_beat_says_so(store: Store, quiet: UUID) -> None:
    pulse = Pulse(store.database)
    try:
        assert pulse.beat(quiet, later(1), 0) is Beaten.QUIET
        assert not store.read_sync(may_claim, quiet)
        store.write_sync(QuietWorker(quiet, False))
        assert pulse.beat(quiet, later(2), 0) is Beaten.ALIVE
        assert store.read_sync(may_claim, quiet)
    finally:
        pulse.close()


def test_one_that_left(store: Store) -> None:
    gone = uuid4()
    with pytest.raises(WorkerNotFound, match=f"There is no worker {gone}: it has stopped"):
        store.write_sync(QuietWorker(gone, True))
    assert not store.read_sync(may_claim, gone)


def test_one_that_may_claim_again_is_told(store: Store) -> None:
    worker = register(store)
    heard: list[Hints] = []
    store.listen(heard.append)
    store.write_sync(QuietWorker(worker, True))
    assert heard == []
    store.write_sync(QuietWorker(worker, False))
    wait_until(lambda: bool(heard))  # who wrote is answered first
    assert [each.queued for each in heard] == [True]
