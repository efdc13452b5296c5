"""Plain inserts: what is stored, backpressure, and the insert that is a claim."""

from typing import Any
from uuid import uuid4

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.errors import QueueFull
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.rescue import CrashRules, RescueWorker
from fastapi_jobs.store.rows import Inserted, NewJob
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    BACKEND,
    NOW,
    attempts_of,
    claim,
    finish_of,
    insert,
    job_of,
    later,
    new_job,
    queued,
    register,
)


def start(store: Store, worker: Any, job: NewJob) -> Inserted:
    """Insert a job for which a slot is kept free."""
    return store.write_sync(InsertJobs([job], worker, BACKEND))[0]


def test_everything_comes_back(store: Store) -> None:
    job = new_job(
        task="täsk",
        queue="q",
        backend="thread",
        priority=-7,
        run_after=later(5.000001),
        expires_at=later(9),
        owner="o’Neill",
        tags=("a", "ü"),
        meta='{"k": "v"}',
    )
    [inserted] = insert(store, job)
    assert inserted == Inserted(job.id, JobStatus.SCHEDULED)
    record = job_of(store, job.id)
    names = ("id", "task", "queue", "backend", "priority", "args", "created_at", "run_after")
    for name in (*names, "expires_at", "owner", "meta"):
        assert getattr(record, name) == getattr(job, name), name
    assert record.tags == '["a","ü"]'
    assert (record.status, record.attempt, record.fence) == ("scheduled", 0, 0)


def test_a_time_that_is_past_is_queued(store: Store) -> None:
    [inserted] = insert(store, new_job(run_after=later(-1)))
    assert inserted.status is JobStatus.QUEUED


def test_ten_thousand_in_one_call(store: Store) -> None:
    ids = queued(store, 10_000)
    counts = store.read_sync(queries.count_jobs, JobFilter(), cap=20_000)
    assert counts[JobStatus.QUEUED] == len(ids) == 10_000


def test_a_full_queue_refuses_all_of_an_operation(store: Store) -> None:
    insert(store, new_job(max_queued=3))
    three = [new_job(max_queued=3) for _ in range(3)]
    with pytest.raises(QueueFull) as caught:
        insert(store, *three)
    assert str(caught.value) == (
        "Queue 'q' holds max_queued = 3 waiting jobs; nothing was stored. "
        "Try again in 1 s, add workers, or raise max_queued."
    )
    assert store.read_sync(queries.get_status, [job.id for job in three]) == {}
    insert(store, *three[:2])
    insert(store, new_job(queue="other", max_queued=3))


async def test_a_batch_shares_the_room(store: Store) -> None:
    """Law 2: in one commit each caller is refused or served for himself."""
    operations = [InsertJobs([new_job(max_queued=5)]) for _ in range(20)]
    answers = []
    for operation in operations:
        try:
            answers.append(await store.write(operation))
        except QueueFull:
            continue
    assert len(answers) == 5


def test_running_jobs_take_no_room(store: Store) -> None:
    insert(store, new_job(max_queued=1))
    claim(store, register(store))
    insert(store, new_job(max_queued=1))


def test_an_insert_may_be_a_claim(store: Store) -> None:
    worker, job = register(store), new_job()
    assert start(store, worker, job).status is JobStatus.RUNNING
    record = job_of(store, job.id)
    assert (record.status, record.attempt, record.fence, record.worker_id) == (
        *("running", 1, 1),
        worker,
    )
    [run] = attempts_of(store, job.id)
    assert (run.number, run.fence, run.worker_id, run.backend) == (1, 1, worker, BACKEND)
    assert record.started_at == run.started_at == NOW
    assert claim(store, worker) == []


def test_an_insert_that_was_a_claim_is_finished_like_any(store: Store) -> None:
    worker, job = register(store), new_job()
    start(store, worker, job)
    from_claim = claim(store, worker)
    assert from_claim == []
    fake = type("C", (), {"id": job.id, "attempt": 1, "fence": 1})
    assert store.write_sync(finish_of(fake)) is JobStatus.SUCCEEDED  # type: ignore[arg-type]


def test_no_claim_without_a_worker_row(store: Store) -> None:
    worker = register(store)
    store.write_sync(RescueWorker(worker, 0, NOW, CrashRules(3)))
    assert start(store, worker, new_job()).status is JobStatus.QUEUED
    assert start(store, uuid4(), new_job(queue="other")).status is JobStatus.QUEUED


def test_no_claim_past_a_pause(store: Store) -> None:
    worker = register(store)
    store.write_sync(PauseQueue("q", NOW))
    assert start(store, worker, new_job()).status is JobStatus.QUEUED
    assert start(store, worker, new_job(queue="open")).status is JobStatus.RUNNING


def test_no_claim_past_waiting_jobs(store: Store) -> None:
    worker = register(store)
    [ahead] = queued(store)
    assert start(store, worker, new_job()).status is JobStatus.QUEUED
    assert start(store, worker, new_job(queue="other")).status is JobStatus.RUNNING
    assert claim(store, worker, 1)[0].id == ahead


def test_no_claim_before_its_time(store: Store) -> None:
    worker = register(store)
    assert start(store, worker, new_job(run_after=later(1))).status is JobStatus.SCHEDULED


def test_a_row_of_a_queue_with_a_limit_shuts_the_gate(store: Store) -> None:
    worker = register(store)
    store.write_sync(PauseQueue("q", NOW))
    with store.database.writing.connect() as connection, connection.begin():
        connection.exec_driver_sql("UPDATE fastapi_jobs_queues SET paused = NULL, max_running = 1")
    assert start(store, worker, new_job()).status is JobStatus.QUEUED


def test_the_same_tag_twice_is_one_tag(store: Store) -> None:
    insert(store, new_job(tags=("x", "x")))
    page = store.read_sync(queries.list_jobs, JobFilter(tag="x"))
    assert len(page.items) == 1


def test_an_insert_is_no_resurrection(store: Store) -> None:
    """A second insert with an id that is there changes nothing of it."""
    job = new_job()
    insert(store, job)
    store.write_sync(RequestCancel(job.id, NOW))
    insert(store, job)
    assert job_of(store, job.id).status == JobStatus.CANCELLED
