"""Jobs that last, wait or end longer than their messages do."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.gate import Gate, eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, count, runs, wait_for, wait_for_async
from tests.celery_worker import LIMIT

WORKER = ("worker", "--loglevel", "INFO")
VISIBILITY_SECONDS = 0.5
IMPATIENT = (sys.executable, "-m", "celery", "-A", "tests.celery.impatient", *WORKER)
KINDS = pytest.mark.parametrize("task", [wait_for, wait_for_async], ids=["def", "async def"])


@pytest.fixture
def messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an impatient worker notes every message."""
    file = tmp_path / "messages"
    monkeypatch.setenv("MESSAGES", str(file))
    monkeypatch.setenv("VISIBILITY_SECONDS", str(VISIBILITY_SECONDS))
    return file


def came(messages: Path, job: Any) -> int:
    """How many messages of a job came to the worker."""
    return Counter(messages.read_text().split())[str(job.id)] if messages.exists() else 0


def first_arrival(messages: Path, job: Any) -> float:
    """When the first message of a job came to the worker, whether it was held back there or not."""
    noted = [line.split("@") for line in Path(f"{messages}.arrivals").read_text().split()]
    return min(float(at) for job_id, at in noted if job_id == str(job.id))


@KINDS
async def test_a_job_longer_than_the_visibility_timeout_runs_once(
    place: Place, app: FastAPIJobs, gate: Gate, messages: Path, task: Any
) -> None:
    """Its message comes again, and takes no slot from the other jobs."""
    worker = place.worker(command=IMPATIENT)
    job = await task.enqueue(str(gate))
    await eventually(lambda: came(messages, job) >= 2, "the message to come again")
    assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
    assert (await job.refresh()).status is JobStatus.RUNNING
    gate.open()
    done = await job.wait(LIMIT)
    assert (done.status, done.attempt, len(gate.pids)) == (JobStatus.SUCCEEDED, 1, 1)
    worker.check()


async def test_a_job_delayed_beyond_it_runs_once(
    sqlite_place: Place, sqlite_app: FastAPIJobs, tmp_path: Path, messages: Path
) -> None:
    """Nothing is with the broker before its time."""
    sqlite_place.worker(command=IMPATIENT)
    file = tmp_path / "runs"
    job = await count.using(run_after=4 * VISIBILITY_SECONDS).enqueue(str(file))
    assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
    assert (await job.wait(LIMIT)).attempt == 1
    assert runs(file) == 1
    assert job.run_after is not None
    assert first_arrival(messages, job) >= job.run_after.timestamp()
    record = await sqlite_app.runtime.store.read(queries.get_job, job.id)
    assert record is not None
    assert record.started_at is not None
    assert record.started_at >= job.run_after


async def test_a_cancel_without_a_worker_is_honoured(
    sqlite_place: Place, sqlite_app: FastAPIJobs, tmp_path: Path, messages: Path
) -> None:
    """Its message comes, and finds nothing to run."""
    file = tmp_path / "runs"
    job = await count.enqueue(str(file))

    async def is_published() -> bool:
        record = await sqlite_app.runtime.store.read(queries.get_job, job.id)
        return record is not None and record.published_at is not None

    await eventually(is_published, "it is published")
    assert (await job.cancel()).status is JobStatus.CANCELLED
    sqlite_place.worker(command=IMPATIENT)
    await eventually(lambda: came(messages, job) >= 1, "its message to come")
    assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
    done = await job.refresh()
    assert (done.status, done.attempt, runs(file)) == (JobStatus.CANCELLED, 0, 0)
