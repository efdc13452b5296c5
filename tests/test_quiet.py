"""A quieted process: what it runs goes on, what comes waits until it may claim again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from fastapi_jobs import FastAPIJobs, Job, JobStatus, task
from fastapi_jobs.registry import registry
from fastapi_jobs.store import queries
from fastapi_jobs.store.rescue import CrashRules, RescueWorker
from fastapi_jobs.store.workers import QuietWorker
from fastapi_jobs.testing.conformance.gate import eventually

LIMIT = 30.0
NAMES = ("quiet.waits", "quiet.adds")


async def _waits() -> None:
    await _gate.wait()


async def _adds(a: int, b: int) -> int:
    return a + b


_gate = asyncio.Event()


@pytest.fixture(autouse=True)
def tasks() -> Iterator[None]:
    """One that runs until the gate opens, and a quick one."""
    global _gate
    _gate = asyncio.Event()
    yield
    for name in NAMES:
        registry.remove(name)


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[FastAPIJobs]:
    """A started app with a quick heartbeat."""
    app = FastAPIJobs(
        database_url=database_url,
        migrate=True,
        durability="normal",
        heartbeat_seconds=0.05,
        lease_seconds=5,
        poll_seconds=0.05,
    )
    async with app:
        yield app


async def test_a_quieted_process(jobs: FastAPIJobs, caplog: pytest.LogCaptureFixture) -> None:
    waits, adds = task(name=NAMES[0])(_waits), task(name=NAMES[1])(_adds)
    store, worker = jobs.runtime.store, jobs.runtime.worker
    assert worker is not None
    assert worker.id is not None
    running = await waits.enqueue()

    async def runs() -> bool:
        return (await running.refresh()).status is JobStatus.RUNNING

    await eventually(runs, "it runs")
    await store.write(QuietWorker(worker.id, True))
    came = await adds.enqueue(1, 2)
    assert came.status is JobStatus.QUEUED
    with caplog.at_level(logging.WARNING, "fastapi_jobs.worker"):
        await eventually(lambda: "is quieted: it claims" in caplog.text, "its beat says so")
    _gate.set()
    assert (await running.wait(LIMIT)).status is JobStatus.SUCCEEDED
    assert (await came.refresh()).status is JobStatus.QUEUED
    await store.write(QuietWorker(worker.id, False))
    assert await came.result(LIMIT) == 3


async def test_it_stays_quiet_when_it_registers_anew(
    jobs: FastAPIJobs, caplog: pytest.LogCaptureFixture
) -> None:
    adds = task(name=NAMES[1])(_adds)
    store, worker = jobs.runtime.store, jobs.runtime.worker
    assert worker is not None
    first = worker.id
    assert first is not None
    await store.write(QuietWorker(first, True))
    await eventually(lambda: "is quieted" in caplog.text, "its beat says so")
    rules = CrashRules(3, frozenset(), lambda _task: False)

    async def is_taken_for_dead() -> bool:
        """Its beats may come in between."""
        rows = {each.id: each for each in await store.read(queries.get_workers)}
        seen = rows.get(first)
        if seen is None:
            return True
        operation = RescueWorker(first, seen.beat, seen.heartbeat_at, rules)
        return await store.write(operation) is not None

    await eventually(is_taken_for_dead, "others take it for dead")
    await eventually(lambda: worker.id not in (None, first), "it registers anew")
    [row] = await store.read(queries.get_workers)
    assert row.quiet
    job: Job[int] = await adds.enqueue(1, 2)
    assert job.status is JobStatus.QUEUED
    await store.write(QuietWorker(row.id, False))
    assert await job.result(LIMIT) == 3
