"""A suspect gets its turn alone, however busy the process is (law 6)."""

import asyncio

import pytest
from sqlalchemy import update

from fastapi_jobs import FastAPIJobs, Job, task
from fastapi_jobs.making_way import MakingWay
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import jobs as jobs_table

ENQUEUERS = 4
SUSPECTS = 3
running: list[int] = []
"""The innocents that run now."""
beside: list[list[int]] = []
"""What ran when each suspect began, and when it ended."""


@task(name="tests.making_way.innocent")
async def innocent(number: int) -> None:
    """Short, as there are many of them."""
    running.append(number)
    await asyncio.sleep(0.02)
    running.remove(number)


@task(name="tests.making_way.suspect")
async def suspect() -> None:
    """Look around, twice."""
    beside.append(running.copy())
    await asyncio.sleep(0.05)
    beside.append(running.copy())


@pytest.fixture(autouse=True)
def nobody_runs() -> None:
    """Each test sees its own."""
    running.clear()
    beside.clear()


@pytest.fixture
def drains(monkeypatch: pytest.MonkeyPatch) -> list[MakingWay]:
    """Who began to make way, each time."""
    began: list[MakingWay] = []
    kept = MakingWay.is_wanted

    async def is_wanted(way: MakingWay) -> bool:
        was_made, wanted = way.is_made, await kept(way)
        if wanted and not was_made:
            began.append(way)
        return wanted

    monkeypatch.setattr(MakingWay, "is_wanted", is_wanted)
    return began


async def accuse(app: FastAPIJobs, accused: list[Job[None]]) -> None:
    """As if their process had died while several ran."""
    ids = [job.id for job in accused]

    def mark() -> None:
        with app.runtime.store.database.writing.connect() as connection, connection.begin():
            statement = update(jobs_table).where(jobs_table.c.id.in_(ids))
            connection.execute(statement.values(suspect=1, queue="default"))

    await asyncio.to_thread(mark)


async def test_suspects_run_alone_in_a_process_that_is_never_idle(
    database_url: str, drains: list[MakingWay]
) -> None:
    shut = {"shut": {"paused": True}}
    async with FastAPIJobs(database_url=database_url, migrate=True, queues=shut) as app:
        accused = [await suspect.using(queue="shut").enqueue() for _ in range(SUSPECTS)]
        is_over = asyncio.Event()

        async def keep_busy(number: int) -> None:
            while not is_over.is_set():
                await innocent.enqueue(number)  # at any time an insert is under way

        busy = [asyncio.create_task(keep_busy(number)) for number in range(ENQUEUERS)]
        await accuse(app, accused)
        for job in accused:
            assert (await job.wait(180)).status is JobStatus.SUCCEEDED
        is_over.set()
        await asyncio.gather(*busy)
    assert beside == [[]] * (2 * SUSPECTS)
    # One, but for a machine that stands still; many, if it makes way and takes no suspect.
    assert len(drains) <= 3
