"""`using(session=s).enqueue_sync` with a Session, and what is refused."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from fastapi_jobs import DuplicateJob, FastAPIJobs, JobNotFound
from fastapi_jobs.errors import (
    ForeignSession,
    InvalidOption,
    OpenTransaction,
    StoreUnavailable,
    SyncOnLoop,
    UncommittedJob,
)
from tests.transactions.hosting import (
    Order,
    async_session,
    bill,
    bill_strictly,
    ship,
    sync_session,
)

R = TypeVar("R")


async def in_thread(function: Callable[[], R]) -> R:
    """Run blocking host code as a `def` endpoint would be run."""
    return await asyncio.to_thread(function)


async def test_commit_brings_row_and_job(jobs: FastAPIJobs, database_url: str) -> None:
    def host() -> None:
        with sync_session(database_url) as session:
            session.add(Order(id=1))
            job = ship.using(session=session).enqueue_sync(1)
            with pytest.raises(JobNotFound):
                jobs.get_sync(job.id)
            session.commit()
            assert job.result_sync(20) == 1
            assert session.get(Order, 1) is not None

    await in_thread(host)


async def test_rollback_leaves_nothing(jobs: FastAPIJobs, database_url: str) -> None:
    def host() -> None:
        with sync_session(database_url) as session:
            session.add(Order(id=1))
            job = ship.using(session=session).enqueue_sync(1)
            with pytest.raises(UncommittedJob):
                job.wait_sync(5)
            session.rollback()
            with pytest.raises(JobNotFound):
                job.refresh_sync()

    await in_thread(host)


async def test_a_savepoint_takes_back_only_its_own(jobs: FastAPIJobs, database_url: str) -> None:
    def host() -> None:
        with sync_session(database_url) as session:
            session.add(Order(id=1))
            kept = ship.using(session=session).enqueue_sync(1)
            savepoint = session.begin_nested()
            dropped = ship.using(session=session).enqueue_sync(2)
            savepoint.rollback()
            session.commit()
            assert kept.result_sync(20) == 1
            with pytest.raises(JobNotFound):
                dropped.refresh_sync()

    await in_thread(host)


async def test_losing_a_unique_key_leaves_the_transaction_usable(
    jobs: FastAPIJobs, database_url: str
) -> None:
    first = await bill.using(run_after=3600).enqueue(1)
    await bill_strictly.using(run_after=3600).enqueue(1)

    def host() -> None:
        with sync_session(database_url) as session:
            session.add(Order(id=1))
            second = bill.using(session=session).enqueue_sync(1)
            assert (second.id, second.is_new) == (first.id, False)
            with pytest.raises(DuplicateJob):
                bill_strictly.using(session=session).enqueue_sync(1)
            session.commit()
            assert session.get(Order, 1) is not None

    await in_thread(host)


async def test_a_sync_session_inside_async_code(jobs: FastAPIJobs, database_url: str) -> None:
    with sync_session(database_url) as session:
        job = await ship.using(session=session).enqueue(4)
        session.commit()
        assert await job.result(20) == 4


async def test_a_session_on_another_database_is_refused(
    jobs: FastAPIJobs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = f"sqlite:///{tmp_path_factory.mktemp('other') / 'other.db'}"
    with sync_session(other) as session:
        with pytest.raises(ForeignSession) as refusal:
            await ship.using(session=session).enqueue(1)
        assert str(refusal.value).startswith(f"The session is on {other}, the jobs are in ")
        assert "one transaction cannot span both" in str(refusal.value)
        assert jobs.runtime.store.database.name in str(refusal.value)


async def test_enqueue_sync_wants_a_sync_session(jobs: FastAPIJobs, database_url: str) -> None:
    engine = create_async_engine(database_url.replace("sqlite://", "sqlite+aiosqlite://"))
    session = AsyncSession(engine)
    with pytest.raises(InvalidOption, match="enqueue_sync takes a Session"):
        await in_thread(lambda: ship.using(session=session).enqueue_sync(1))
    with pytest.raises(SyncOnLoop, match=r"enqueue_sync\(\) would block .* Use: await enqueue\(\)"):
        ship.using(session=session).enqueue_sync(1)
    await session.close()
    await engine.dispose()


async def test_something_else_is_no_session(jobs: FastAPIJobs) -> None:
    with pytest.raises(InvalidOption, match="give a Session or an AsyncSession"):
        ship.using(session="session")  # type: ignore[arg-type]


async def test_sqlite_refuses_an_enqueue_beside_its_own_open_transaction(sqlite_url: str) -> None:
    async with FastAPIJobs(database_url=sqlite_url), async_session(sqlite_url) as session:
        await ship.using(session=session).enqueue(1)
        with pytest.raises(OpenTransaction, match="SQLite's only write lock"):
            await ship.enqueue(2)
        await session.commit()
        assert await (await ship.enqueue(2)).result(20) == 2


async def test_postgresql_delays_nobody_beside_an_open_transaction(postgres_url: str) -> None:
    """A host that keeps its transaction open holds up the same unique key, and nothing else."""
    async with (
        FastAPIJobs(database_url=postgres_url, migrate=True, store_timeout=8) as jobs,
        async_session(postgres_url) as session,
    ):
        held = await bill.using(session=session).enqueue(1)
        assert await (await ship.enqueue(2)).result(20) == 2
        assert await (await bill.enqueue(7)).result(20) == 7
        assert (await jobs.enqueue_many([ship.s(3), bill.s(8)]))[1].is_new
        same = asyncio.create_task(bill.enqueue(1))
        assert await (await ship.enqueue(4)).result(20) == 4
        with pytest.raises(StoreUnavailable, match=r"lock timeout|no answer for"):
            await same
        await session.commit()
        assert await held.result(20) == 1
