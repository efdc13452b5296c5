"""Cancel, retry, edit, delete, prune: legal moves only, and the sentence where they are not."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.errors import IllegalMove, JobNotFound
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.finish import LogLine, WriteLogs
from fastapi_jobs.store.moves import DeleteJobs, EditJob, Prune, RequestCancel, RetryJob
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    attempts_of,
    claim,
    claim_one,
    failure_of,
    finish_of,
    insert,
    job_of,
    later,
    new_job,
    queued,
    register,
    retry_of,
)

S = JobStatus


def job_in(store: Store, status: JobStatus) -> Any:
    """The id of a job in `status`."""
    if status is S.SCHEDULED:
        return queued(store, run_after=later(60))[0]
    [job_id] = queued(store)
    if status is S.CANCELLED:
        store.write_sync(RequestCancel(job_id, NOW))
    elif status is not S.QUEUED:
        claimed = claim_one(store)
        if status is not S.RUNNING:
            store.write_sync(finish_of(claimed, status, AttemptOutcome(status.value)))
    return job_id


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        *((S.SCHEDULED, S.CANCELLED), (S.QUEUED, S.CANCELLED)),
        *((S.RUNNING, S.RUNNING), (S.CANCELLED, S.CANCELLED)),
    ],
)
def test_cancel(store: Store, status: JobStatus, answer: JobStatus) -> None:
    job_id = job_in(store, status)
    assert store.write_sync(RequestCancel(job_id, later(1))) is answer
    assert job_of(store, job_id).status == answer
    assert job_of(store, job_id).cancel_requested_at is not None


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED])
def test_no_cancel_after_the_end(store: Store, status: JobStatus) -> None:
    job_id = job_in(store, status)
    with pytest.raises(IllegalMove) as caught:
        store.write_sync(RequestCancel(job_id, NOW))
    said = f"Cannot cancel job {job_id}: it is {status}. Legal now: retry, delete."
    assert str(caught.value) == said


@pytest.mark.parametrize("operation", [RequestCancel, RetryJob])
def test_a_job_that_is_not_there(store: Store, operation: Any) -> None:
    job_id = uuid4()
    with pytest.raises(JobNotFound, match=f"There is no job {job_id}"):
        store.write_sync(operation(job_id, NOW))
    with pytest.raises(JobNotFound):
        store.write_sync(EditJob(job_id, NOW, {}))
    with pytest.raises(JobNotFound):
        store.write_sync(DeleteJobs([job_id], must=True))


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.CANCELLED])
def test_retry_starts_anew(store: Store, status: JobStatus) -> None:
    job_id = job_in(store, status)
    attempts = len(attempts_of(store, job_id))
    assert store.write_sync(RetryJob(job_id, NOW)) is S.QUEUED
    record = job_of(store, job_id)
    assert (record.failures, record.crashes, record.finished_at, record.result, record.error) == (
        *(0, 0),
        *(None, None, None),
    )
    assert record.cancel_requested_at is None
    claimed = claim_one(store)
    assert claimed.attempt == attempts + 1
    assert store.write_sync(finish_of(claimed)) is S.SUCCEEDED


@pytest.mark.parametrize("status", [S.SCHEDULED, S.QUEUED, S.RUNNING])
def test_no_retry_while_alive(store: Store, status: JobStatus) -> None:
    job_id = job_in(store, status)
    with pytest.raises(IllegalMove, match=f"Cannot retry job {job_id}: it is {status}."):
        store.write_sync(RetryJob(job_id, NOW))


def test_edit_what_waits(store: Store) -> None:
    job = new_job(tags=("a", "b"))
    insert(store, job)
    changes = {"priority": 5, "queue": "z", "tags": ["b", "c"], "run_after": later(9)}
    assert store.write_sync(EditJob(job.id, NOW, changes)) is S.SCHEDULED
    record = job_of(store, job.id)
    assert (record.priority, record.queue, record.tags, record.run_after) == (
        *(5, "z", '["b","c"]'),
        later(9),
    )
    found = {
        tag: len(store.read_sync(queries.list_jobs, JobFilter(tag=tag)).items) for tag in "abc"
    }
    assert found == {"a": 0, "b": 1, "c": 1}
    assert store.write_sync(EditJob(job.id, NOW, {"run_after": None, "tags": []})) is S.QUEUED
    assert job_of(store, job.id).tags is None


def test_a_new_priority_counts_at_once(store: Store) -> None:
    first, second = queued(store, 2)
    store.write_sync(EditJob(second, NOW, {"priority": 1}))
    assert [each.id for each in claim(store, register(store))] == [second, first]


@pytest.mark.parametrize("status", [S.RUNNING, S.SUCCEEDED, S.CANCELLED])
def test_no_edit_after_the_start(store: Store, status: JobStatus) -> None:
    job_id = job_in(store, status)
    with pytest.raises(IllegalMove, match=f"Cannot edit job {job_id}: it is {status}."):
        store.write_sync(EditJob(job_id, NOW, {"priority": 1}))
    assert job_of(store, job_id).priority == 0


def test_delete_takes_everything_along(store: Store) -> None:
    job = new_job(tags=("x",))
    insert(store, job)
    store.write_sync(WriteLogs([LogLine(job.id, 1, 1, NOW, "INFO", "x", "hello")]))
    store.write_sync(finish_of(claim_one(store)))
    assert store.write_sync(DeleteJobs([job.id], must=True)) == 1
    assert store.read_sync(queries.get_job, job.id) is None
    assert attempts_of(store, job.id) == []
    assert store.read_sync(queries.get_logs, job.id) == []
    assert store.read_sync(queries.list_jobs, JobFilter(tag="x")).items == []


@pytest.mark.parametrize("status", [S.SCHEDULED, S.QUEUED, S.RUNNING])
def test_no_delete_while_alive(store: Store, status: JobStatus) -> None:
    job_id = job_in(store, status)
    assert store.write_sync(DeleteJobs([job_id])) == 0
    with pytest.raises(IllegalMove, match=f"Cannot delete job {job_id}: it is {status}."):
        store.write_sync(DeleteJobs([job_id], must=True))
    assert job_of(store, job_id).status == status


def test_prune_is_bounded_and_by_status(store: Store) -> None:
    old = NOW - timedelta(days=8)
    queued(store, 12, at=old)
    worker = register(store)
    done = claim(store, worker, 10, at=old)
    for each in done:
        store.write_sync(finish_of(each, at=old))
    store.write_sync(retry_of(claim_one(store, worker, room=1, at=old), at=old))
    _make_old(store)
    assert store.write_sync(Prune(S.FAILED, NOW)) == 0
    assert store.write_sync(Prune(S.SUCCEEDED, old)) == 0
    assert [store.write_sync(Prune(S.SUCCEEDED, NOW, limit=4)) for _ in range(4)] == [4, 4, 2, 0]
    counts = store.read_sync(queries.count_jobs, JobFilter())
    assert counts[S.SCHEDULED] == counts[S.QUEUED] == 1


def _make_old(store: Store) -> None:
    """Prune trusts the time in ids, which a test makes now: it is before NOW."""
    [item] = store.read_sync(queries.list_jobs, JobFilter(), limit=1).items
    assert item.created_at < NOW


def test_prune_keeps_what_finished_lately(store: Store) -> None:
    queued(store, at=NOW - timedelta(days=30))
    store.write_sync(failure_of(claim_one(store), at=NOW))
    assert store.write_sync(Prune(S.FAILED, NOW)) == 0
    assert store.write_sync(Prune(S.FAILED, later(1))) == 1
