"""`using(session=s)` with an AsyncSession: the job exists if and only if the host commits."""

import pytest

from fastapi_jobs import DuplicateJob, FastAPIJobs, JobNotFound
from fastapi_jobs.errors import UncommittedJob
from tests.transactions.hosting import Order, async_session, bill, bill_strictly, ship


async def test_commit_brings_row_and_job(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        session.add(Order(id=1))
        job = await ship.using(session=session).enqueue(1)
        with pytest.raises(JobNotFound):
            await jobs.get(job.id)
        await session.commit()
        assert await job.result(20) == 1
        assert await session.get(Order, 1) is not None


async def test_rollback_leaves_nothing(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        session.add(Order(id=1))
        job = await ship.using(session=session).enqueue(1)
        await session.rollback()
        with pytest.raises(JobNotFound):
            await job.refresh()
        # The session is as good as new.
        again = await ship.using(session=session).enqueue(2)
        await session.commit()
        assert await again.result(20) == 2


async def test_a_savepoint_takes_back_only_its_own(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        session.add(Order(id=1))
        kept = await ship.using(session=session).enqueue(1)
        savepoint = await session.begin_nested()
        dropped = await ship.using(session=session).enqueue(2)
        await savepoint.rollback()
        await session.commit()
        assert await kept.result(20) == 1
        with pytest.raises(JobNotFound):
            await dropped.refresh()


async def test_losing_a_unique_key_leaves_the_transaction_usable(
    jobs: FastAPIJobs, database_url: str
) -> None:
    first = await bill.using(run_after=3600).enqueue(1)
    strict = await bill_strictly.using(run_after=3600).enqueue(1)
    async with async_session(database_url) as session:
        session.add(Order(id=1))
        second = await bill.using(session=session).enqueue(1)
        assert second.id == first.id
        assert not second.is_new
        with pytest.raises(DuplicateJob, match=str(strict.id)):
            await bill_strictly.using(session=session).enqueue(1)
        session.add(Order(id=2))
        await session.commit()
        assert await session.get(Order, 2) is not None


async def test_many_in_one_transaction(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        made = await jobs.enqueue_many([ship.s(1), ship.s(2)], session=session)
        await session.rollback()
        for job in made:
            with pytest.raises(JobNotFound):
                await job.refresh()
        made = await jobs.enqueue_many([ship.s(1), ship.s(2)], session=session)
        await session.commit()
        assert [await job.result(20) for job in made] == [1, 2]


async def test_waiting_before_the_commit_is_refused(jobs: FastAPIJobs, database_url: str) -> None:
    async with async_session(database_url) as session:
        job = await ship.using(session=session).enqueue(1)
        with pytest.raises(UncommittedJob, match="is part of a transaction that is not committed"):
            await job.wait(5)
        await session.rollback()


async def test_observers_hear_of_committed_jobs_only(jobs: FastAPIJobs, database_url: str) -> None:
    heard = []
    jobs.runtime.observers.add(lambda event: heard.append((event.kind.value, event.job_id)))
    async with async_session(database_url) as session:
        dropped = await ship.using(session=session).enqueue(1)
        await session.rollback()
        savepoint = await session.begin_nested()
        unsaved = await ship.using(session=session).enqueue(2)
        await savepoint.rollback()
        kept = await ship.using(session=session).enqueue(3)
        await session.commit()
        await kept.result(20)
    await jobs.shutdown()
    enqueued = [job_id for kind, job_id in heard if kind == "enqueued"]
    assert enqueued == [kept.id]
    assert not {dropped.id, unsaved.id} & {job_id for _, job_id in heard}
