"""`revoke` of Celery's commands and of Flower's buttons cancels the job."""

import asyncio
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, Job, JobStatus
from fastapi_jobs.backends.celery_broker import make_celery
from fastapi_jobs.celery_control import REASON
from fastapi_jobs.clock import utc_now
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.testing.conformance.gate import Gate, eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, letter, wait_for, wait_for_async
from tests.celery.test_flower import flower_of
from tests.celery_worker import LIMIT


async def revoke(app: FastAPIJobs, job: Job[Any], **options: Any) -> None:
    """What `celery control` sends; returns when a worker has answered."""
    celery = make_celery(app.settings)
    answers: list[Any] = []

    async def is_answered() -> bool:
        # A worker says that it is ready just before it listens to commands.
        answers[:] = await asyncio.to_thread(
            lambda: celery.control.revoke(str(job.id), reply=True, timeout=5, limit=1, **options)
        )
        return bool(answers)

    await eventually(is_answered, "a worker answers", LIMIT)
    celery.close()
    assert [*answers[0].values()] == [{"ok": "1 of 1 ids are jobs to cancel"}]


async def test_a_waiting_job_is_cancelled_and_may_run_again(
    place: Place, app: FastAPIJobs, tmp_path: Any
) -> None:
    place.worker()
    store = app.runtime.store
    await store.write(PauseQueue("letters", utc_now()))
    job = await letter.enqueue(str(tmp_path / "letters"), "a")
    await revoke(app, job)
    done = await job.wait(LIMIT)
    assert (done.status, done.reason) == (JobStatus.CANCELLED, REASON)
    # No worker remembers the id.
    await store.write(ResumeQueue("letters"))
    await job.retry()
    assert (await job.wait(LIMIT)).status is JobStatus.SUCCEEDED


async def test_a_running_job_is_let_be_until_it_is_terminated(
    place: Place, app: FastAPIJobs, gate: Gate
) -> None:
    place.worker()
    job = await wait_for_async.enqueue(str(gate))
    await gate.reached()
    await revoke(app, job)
    # The next command comes after it, in the same thread of the worker.
    waiting = await add.using(run_after=3600).enqueue(1, 2)
    await revoke(app, waiting)
    assert (await waiting.wait(LIMIT)).status is JobStatus.CANCELLED
    assert (await job.refresh()).cancel_requested_at is None
    await revoke(app, job, terminate=True, signal="SIGKILL")
    done = await job.wait(LIMIT)
    assert (done.status, done.reason, done.attempt) == (JobStatus.CANCELLED, REASON, 1)
    assert await (await add.enqueue(1, 2)).result(LIMIT) == 3


async def test_a_running_function_is_stopped_in_prefork(sqlite_place: Place, gate: Gate) -> None:
    sqlite_place.settings["celery"] |= {"pool": "prefork", "concurrency": 1}
    async with sqlite_place.app() as app:
        worker = sqlite_place.worker()
        job = await wait_for.enqueue(str(gate))
        await gate.reached()
        await revoke(app, job, terminate=True)
        done = await job.wait(LIMIT)
        assert (done.status, done.attempt) == (JobStatus.CANCELLED, 1)
        # Its process was replaced.
        assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
        assert gate.pids[0] not in [each.pid for each in worker.children()]


@pytest.mark.parametrize("terminate", [{}, {"terminate": "true"}], ids=["revoke", "terminate"])
async def test_flowers_buttons(
    sqlite_place: Place, sqlite_app: FastAPIJobs, gate: Gate, terminate: dict[str, str]
) -> None:
    with flower_of(sqlite_place.worker()) as flower:
        if terminate:
            job: Job[Any] = await wait_for_async.enqueue(str(gate))
            await gate.reached()
        else:
            job = await add.using(run_after=3600).enqueue(1, 2)
        flower.revoke(job.id, **terminate)
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED


async def test_an_id_that_is_no_jobs_harms_nobody(
    sqlite_place: Place, sqlite_app: FastAPIJobs
) -> None:
    worker = sqlite_place.worker()
    celery = make_celery(sqlite_app.settings)
    unknown = "01a1ff6f-6741-70ca-b79c-89a626a7885d"

    async def is_told() -> bool:
        for name in ("garbage", unknown):
            await asyncio.to_thread(celery.control.revoke, name)
        await asyncio.sleep(0.2)
        return f"nothing to revoke: There is no job {unknown}" in worker.said()

    await eventually(is_told, "it is told")
    celery.close()
    assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
