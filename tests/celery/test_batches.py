"""A slot goes on with what waits behind the job of its message."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, JobFilter, JobStatus
from fastapi_jobs.backends.celery_broker import make_celery
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, count, runs
from tests.celery_worker import LIMIT

MANY = 200


def messages(app: FastAPIJobs) -> int:
    """How many messages of `add` the worker says it took."""
    control: Any = make_celery(app.settings).control
    stats = control.inspect(timeout=LIMIT, limit=1).stats() or {}  # of the only one there is
    return sum(each["total"].get(add.name, 0) for each in stats.values())


@pytest.mark.parametrize("seconds", [0, LIMIT])
async def test_one_message_may_bring_many_jobs(place: Place, seconds: float) -> None:
    place.settings["celery"]["batch_seconds"] = seconds
    async with place.app() as app:
        jobs = await app.enqueue_many([add.s(number, 1) for number in range(MANY)])
        place.worker()
        assert [await job.result(LIMIT) for job in jobs] == [number + 1 for number in range(MANY)]
        assert {(await job.refresh()).attempt for job in jobs} == {1}
        took = await asyncio.to_thread(messages, app)
    if seconds:
        # What was published before the worker came, and what the relay was quicker with.
        assert took < MANY / 2
    else:
        assert took >= MANY


async def test_a_stop_amid_messages_leaves_nothing_behind(
    place: Place, app: FastAPIJobs, tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    jobs = await app.enqueue_many([count.s(str(file)) for _ in range(MANY)])
    worker = place.worker()
    await eventually(lambda: runs(file) >= 20, "some have run")
    worker.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.process.wait, LIMIT)
    left, _ = await app.list(JobFilter(statuses=[JobStatus.RUNNING]))
    assert left == []
    place.worker(name="second")
    done = [await job.wait(LIMIT) for job in jobs]
    assert {job.status for job in done} == {JobStatus.SUCCEEDED}
    assert runs(file) == MANY
