"""Celery workers that stop, and that are killed."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastapi_jobs import FastAPIJobs, Job, JobStatus
from fastapi_jobs.models import AttemptRecord
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.gate import Gate, eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, count, enqueues, runs, wait_for, wait_for_async
from tests.celery_worker import LIMIT

CELERY = (sys.executable, "-m", "celery", "-A", "fastapi_jobs.celery_app")
KINDS = pytest.mark.parametrize("task", [wait_for, wait_for_async], ids=["def", "async def"])


async def attempts_of(app: FastAPIJobs, job: Job[Any]) -> list[AttemptRecord]:
    """The job's attempts, oldest first."""
    return await app.runtime.store.read(queries.get_attempts, job.id)


@KINDS
async def test_a_stop_lets_jobs_end(place: Place, app: FastAPIJobs, gate: Gate, task: Any) -> None:
    worker = place.worker()
    job = await task.enqueue(str(gate))
    await gate.reached()
    worker.process.send_signal(signal.SIGTERM)
    await eventually(lambda: "Warm shutdown" in worker.said(), "the worker hears it")
    assert worker.process.poll() is None
    gate.open()
    assert (await job.wait(LIMIT)).status is JobStatus.SUCCEEDED
    await asyncio.to_thread(worker.process.wait, LIMIT)
    assert (await job.refresh()).attempt == 1


@KINDS
async def test_a_stop_gives_back_what_does_not_end(
    place: Place, app: FastAPIJobs, gate: Gate, task: Any
) -> None:
    """Uncharged, and another worker finishes it."""
    worker = place.worker(shutdown_seconds=0.2)
    job = await task.enqueue(str(gate))
    await gate.reached()
    await asyncio.to_thread(worker.terminate)
    await eventually(lambda: _is(job, JobStatus.QUEUED), "it is given back")
    [attempt] = await attempts_of(app, job)
    assert attempt.outcome == AttemptOutcome.RELEASED
    gate.open()
    place.worker(name="second")
    done = await job.wait(LIMIT)
    assert (done.status, done.attempt) == (JobStatus.SUCCEEDED, 2)
    record = await app.runtime.store.read(queries.get_job, job.id)
    assert record is not None
    assert (record.failures, record.crashes) == (0, 0)


async def _is(job: Job[Any], status: JobStatus) -> bool:
    return (await job.refresh()).status is status


async def test_a_killed_worker_loses_nothing(
    place: Place, app: FastAPIJobs, tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    worker = place.worker()
    jobs = [await count.enqueue(str(file), 0.05) for _ in range(60)]
    await eventually(lambda: runs(file) >= 10, "ten have run")
    worker.kill()
    place.worker(name="second")
    done = [await job.wait(LIMIT) for job in jobs]
    assert {job.status for job in done} == {JobStatus.SUCCEEDED}
    assert all([len(await attempts_of(app, job)) <= 2 for job in jobs])


async def test_a_killed_child_hurts_its_own_job_only(sqlite_place: Place, tmp_path: Path) -> None:
    sqlite_place.settings["celery"]["pool"] = "prefork"
    async with sqlite_place.app() as app:
        sqlite_place.worker()
        with Gate(tmp_path / "a") as first, Gate(tmp_path / "b") as second:
            first.file.parent.mkdir()
            second.file.parent.mkdir()
            victim = await wait_for.enqueue(str(first))
            bystander = await wait_for.enqueue(str(second))
            await first.reached()
            await second.reached()
            os.kill(first.pids[0], signal.SIGKILL)
            await first.reached(2)
        assert (await victim.wait(LIMIT)).status is JobStatus.SUCCEEDED
        assert (await bystander.wait(LIMIT)).status is JobStatus.SUCCEEDED
        outcomes = [each.outcome for each in await attempts_of(app, victim)]
        assert outcomes == [AttemptOutcome.CRASHED, AttemptOutcome.SUCCEEDED]
        assert len(await attempts_of(app, bystander)) == 1


async def test_a_task_enqueues_inside_a_worker(place: Place, app: FastAPIJobs) -> None:
    place.worker()
    job = await enqueues.enqueue()
    inner = await app.get(UUID(await job.result(LIMIT)))
    assert await inner.result(LIMIT) == 3
    assert inner.metadata == {"of": str(job.id)}


async def test_the_plain_command_of_celery(sqlite_place: Place, sqlite_app: FastAPIJobs) -> None:
    sqlite_place.worker(command=(*CELERY, "worker", "--loglevel", "INFO"))
    job = await add.enqueue(1, 2)
    assert await job.result(LIMIT) == 3
