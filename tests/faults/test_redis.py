"""Processes that hear of each other by Redis alone: they hardly ever look by themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, JobStatus
from fastapi_jobs.testing.conformance.gate import eventually
from tests.cli.command import Site
from tests.faults.ledger import BEGUN
from tests.faults.processes import Launcher
from tests.faults.tasks import note, sleep_for_ever
from tests.faults.view import View, wait_for_begun
from tests.redis_server import RedisServer

SELDOM = {"poll_seconds": 300.0, "heartbeat_seconds": 100.0, "lease_seconds": 300.0}
LIMIT = 60.0
"""Far below SELDOM: what happens within it was told."""


@pytest.fixture
def by_redis(launch: Launcher, own_redis: RedisServer) -> dict[str, Any]:
    """The settings of every process here."""
    launch.settings |= {**SELDOM, "redis_url": own_redis.url()}
    return launch.settings


def only_enqueues(settings: dict[str, Any]) -> FastAPIJobs:
    """An app of this process; what it enqueues runs elsewhere."""
    return FastAPIJobs(**settings, dispatch=False)


async def test_a_job_of_another_process_is_run_at_once(
    launch: Launcher, by_redis: dict[str, Any]
) -> None:
    launch.worker()
    async with only_enqueues(by_redis):
        for _ in range(3):
            assert (await (await note.enqueue()).wait(LIMIT)).status is JobStatus.SUCCEEDED


async def test_a_cancel_reaches_another_process_at_once(
    launch: Launcher, by_redis: dict[str, Any], folder: Path
) -> None:
    launch.worker()
    async with only_enqueues(by_redis):
        job = await sleep_for_ever.enqueue()
        wait_for_begun(folder, [job.id])
        await job.cancel()
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED


async def test_a_command_reaches_it_too(
    launch: Launcher, by_redis: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    launch.worker()
    site = Site(tmp_path, by_redis["database_url"], redis_url=by_redis["redis_url"])
    async with only_enqueues(by_redis):
        job = await sleep_for_ever.enqueue()
        wait_for_begun(folder, [job.id])
        done = site.run("cancel", str(job.id))
        assert done.returncode == 0, done.stderr
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED


async def test_without_its_redis_it_polls(
    world: Callable[[str], tuple[Launcher, View]],
    sqlite_url: str,
    own_redis: RedisServer,
    folder: Path,
) -> None:
    launch, _ = world(sqlite_url)
    launch.settings |= {"poll_seconds": 0.2, "redis_url": own_redis.url()}
    worker = launch.worker()
    async with only_enqueues(launch.settings) as app:
        assert (await (await note.enqueue()).wait(LIMIT)).status is JobStatus.SUCCEEDED
        own_redis.stop()
        for _ in range(5):
            assert (await (await note.enqueue()).wait(LIMIT)).status is JobStatus.SUCCEEDED
        job = await sleep_for_ever.enqueue()
        wait_for_begun(folder, [job.id])
        await job.cancel()
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED
        await eventually(lambda: app.runtime.redis_trouble is not None, "it is noticed here")
        await eventually(lambda: "does not answer" in worker.log.read_text(), "and there")
        own_redis.start()
        await eventually(lambda: app.runtime.redis_trouble is None, "and its return")
        await eventually(lambda: "answers again" in worker.log.read_text(), "and there")
        assert (await (await note.enqueue()).wait(LIMIT)).status is JobStatus.SUCCEEDED
    said = worker.log.read_text()
    # Not at each of its many tries; a Redis that stands still for a second adds a pair.
    assert 1 <= said.count("does not answer") == said.count("answers again") <= 3, said
    assert "Traceback" not in said
    assert len((folder / BEGUN).read_text().split("\n")) >= 8
