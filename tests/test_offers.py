"""The fast path: an insert that is its own claim, in order, and while the app stops."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, Job, task
from fastapi_jobs import dispatcher as dispatcher_module
from fastapi_jobs.dispatcher import Dispatcher
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.pending import GROUP
from fastapi_jobs.testing.conformance.gate import eventually

JOBS = 8
seen: list[str] = []


@task(name="tests.offers.note")
async def note(seconds: float = 0) -> None:
    """Write down that it started; end after so many seconds."""
    seen.append("started")
    await asyncio.sleep(seconds)


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    """Each test sees its own."""
    seen.clear()


async def idle_dispatcher(jobs: FastAPIJobs) -> Dispatcher:
    """The dispatcher, once a job has run: it has looked at the queue, and claims nothing."""
    dispatcher = jobs.runtime.dispatcher
    assert dispatcher is not None
    job = await note.enqueue()
    await job.wait(30)
    await eventually(lambda: dispatcher.held() == {}, "nothing is under way")
    seen.clear()
    return dispatcher


@contextmanager
def write_locked(url: str) -> Iterator[None]:
    """Nobody else can commit in this block."""
    lock = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.close()


async def enqueued(seconds: float = 0) -> Job[None]:
    """Enqueue, and write down when the answer came."""
    job = await note.enqueue(seconds)
    seen.append("answered")
    return job


async def test_the_jobs_of_a_commit_start_in_groups_each_before_its_callers_are_answered(
    database_url: str,
) -> None:
    async with FastAPIJobs(database_url=database_url, migrate=True, lease_seconds=600) as jobs:
        await idle_dispatcher(jobs)
        made = await asyncio.gather(*(enqueued() for _ in range(GROUP + JOBS)))
        assert {job.status for job in made} == {JobStatus.RUNNING}
        for job in made:
            await job.wait(30)
    first = ["started"] * GROUP + ["answered"] * GROUP
    assert seen == first + ["started"] * JOBS + ["answered"] * JOBS


async def test_a_stop_waits_for_inserts_under_way_and_runs_what_they_claimed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "GIVE_BACK_SECONDS", 60.0)
    jobs = FastAPIJobs(database_url=sqlite_url)
    await jobs.startup()
    dispatcher = await idle_dispatcher(jobs)
    with write_locked(sqlite_url):
        inserts = [asyncio.create_task(enqueued(0.5)) for _ in range(JOBS)]
        await eventually(lambda: len(dispatcher.held() or ()) == JOBS, "all are on their way")
        stop = asyncio.create_task(jobs.shutdown())
        await asyncio.wait({stop}, timeout=0.2)
        assert not stop.done()
    made = await asyncio.gather(*inserts)
    await stop
    jobs.runtime.open()
    for job in made:
        record = await jobs.runtime.store.read(queries.get_job, job.id)
        assert record is not None
        assert (record.status, record.attempt) == (JobStatus.SUCCEEDED, 1)
    jobs.runtime.close()


async def test_a_claim_under_way_lets_an_insert_be_one_too(sqlite_url: str) -> None:
    """Else a burst that begins beside a claim waits as a whole, and each job is claimed later."""
    async with FastAPIJobs(database_url=sqlite_url, lease_seconds=600) as jobs:
        dispatcher = await idle_dispatcher(jobs)
        with write_locked(sqlite_url):
            dispatcher.wake()
            await eventually(lambda: dispatcher.held() is None, "a claim is under way")
            caller = asyncio.create_task(enqueued())
            await eventually(lambda: bool(dispatcher._offers), "the insert is offered a slot")
        job = await caller
    assert (job.status, seen) == (JobStatus.RUNNING, ["started", "answered"])


async def test_while_a_suspect_is_known_to_wait_no_insert_is_a_claim(sqlite_url: str) -> None:
    """Else the process that has just become idle for it would not be so any more."""
    async with FastAPIJobs(database_url=sqlite_url, poll_seconds=60) as jobs:
        dispatcher = await idle_dispatcher(jobs)
        dispatcher._suspect_waits = True
        job = await note.enqueue()
        assert job.status is JobStatus.QUEUED
        # None waits after all: the next claim takes what there is.
        assert (await job.wait(60)).status is JobStatus.SUCCEEDED


async def test_what_is_claimed_after_the_stop_does_not_start(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop does not wait for ever for a database that is away; nor is the job lost or charged."""
    monkeypatch.setattr(dispatcher_module, "GIVE_BACK_SECONDS", 0.1)
    quick: dict[str, Any] = {
        "database_url": sqlite_url,
        "lease_seconds": 1,
        "heartbeat_seconds": 0.2,
    }
    async with FastAPIJobs(**quick) as jobs:
        dispatcher = await idle_dispatcher(jobs)
        with write_locked(sqlite_url):
            caller = asyncio.create_task(enqueued())
            await eventually(lambda: bool(dispatcher.held()), "it is on its way")
            await dispatcher.stop()
        job = await caller
        assert job.status is JobStatus.RUNNING
        assert seen == ["answered"]
    async with FastAPIJobs(**quick) as again:
        rescued = await again.get(job.id)
        assert (await rescued.wait(60)).status is JobStatus.SUCCEEDED
        record = await again.runtime.store.read(queries.get_job, job.id)
        assert record is not None
        assert (record.attempt, record.crashes) == (1, 0)
    assert seen == ["answered", "started"]


async def test_an_insert_that_nobody_awaits_any_more_runs_its_job(sqlite_url: str) -> None:
    async with FastAPIJobs(database_url=sqlite_url) as jobs:
        dispatcher = await idle_dispatcher(jobs)
        with write_locked(sqlite_url):
            caller = asyncio.create_task(enqueued())
            await eventually(lambda: bool(dispatcher.held()), "it is on its way")
            caller.cancel()
            await asyncio.wait({caller})
        await eventually(lambda: bool(seen), "it started")
    assert seen == ["started"]


async def test_a_refused_insert_gives_its_slot_back(sqlite_url: str) -> None:
    jobs = FastAPIJobs(database_url=sqlite_url, store_timeout=2, asyncio={"max_running": 1})
    async with jobs:
        dispatcher = await idle_dispatcher(jobs)
        with write_locked(sqlite_url):
            with pytest.raises(Exception, match="locked"):
                await note.enqueue()
            await eventually(lambda: not dispatcher.held(), "it is over")
        job = await note.enqueue()
        assert (await job.wait(30)).status is JobStatus.SUCCEEDED
