"""The immediate backend in the host's transaction: the job has run when the commit returns."""

import asyncio
from collections.abc import AsyncIterator
from threading import get_ident

import pytest

from fastapi_jobs import FastAPIJobs, JobNotFound, JobStatus, task
from tests.transactions.hosting import RAN, async_session, ship, sync_session


@task
async def where() -> int:
    """The thread whose event loop runs it."""
    return get_ident()


@pytest.fixture(params=[True, False], ids=["dispatching", "enqueuing only"])
async def jobs(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[FastAPIJobs]:
    """Runs each job where it was enqueued."""
    RAN.clear()
    async with FastAPIJobs(
        database_url=database_url, migrate=True, backend="immediate", dispatch=request.param
    ) as started:
        yield started


async def test_after_the_commit_of_an_async_session(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        job = await where.using(session=session).enqueue()
        with pytest.raises(JobNotFound):
            await jobs.get(job.id)
        await session.commit()
        assert (await job.refresh()).status is JobStatus.SUCCEEDED
        assert await job.result() == get_ident()


async def test_after_the_commit_of_a_session_in_a_thread(
    jobs: FastAPIJobs, database_url: str
) -> None:
    def host() -> None:
        with sync_session(database_url) as session:
            job = ship.using(session=session).enqueue_sync(1)
            assert RAN == []
            session.commit()
            assert job.refresh_sync().status is JobStatus.SUCCEEDED

    await asyncio.to_thread(host)
    assert RAN == [1]


async def test_a_rollback_runs_nothing(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        await ship.using(session=session).enqueue(1)
        savepoint = await session.begin_nested()
        await ship.using(session=session).enqueue(2)
        await savepoint.rollback()
        await session.commit()
        await ship.using(session=session).enqueue(3)
        await session.rollback()
    assert RAN == [1]


async def test_a_blocking_session_on_a_running_loop(database_url: str) -> None:
    RAN.clear()
    async with FastAPIJobs(
        database_url=database_url, migrate=True, backend="immediate", dispatch=False
    ) as jobs:
        with sync_session(database_url) as session:
            # FastAPI lets an `async def` endpoint do this.
            await jobs.enqueue_many([ship.s(1), ship.s(2)], session=session)
            session.commit()
        assert RAN == [1, 2]


async def test_many_at_once(jobs: FastAPIJobs) -> None:
    first, later, last = await jobs.enqueue_many(
        [ship.s(1), ship.using(run_after=60).s(2), ship.s(3)]
    )
    assert RAN == [1, 3]
    found = [(await job.refresh()).status for job in (first, later, last)]
    assert found == [JobStatus.SUCCEEDED, JobStatus.SCHEDULED, JobStatus.SUCCEEDED]
