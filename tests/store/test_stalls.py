"""A server that is there and says nothing: callers are told in time, nothing is lost or doubled."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import select, text

from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.store import queries
from fastapi_jobs.store import store as store_module
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.rows import UniqueWish
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import jobs
from fastapi_jobs.store.transaction import Operation, Transaction
from fastapi_jobs.store.unique import InsertUnique
from tests.servers import PostgresServer, wait_until
from tests.store.driving import insert_unique, new_job

FAR_BEYOND = 20.0
"""Far beyond the store's timeout here, and far below the time after which a connection is cut."""


@pytest.fixture(scope="module")
def server(postgres_bin: Any) -> Iterator[PostgresServer]:
    """A server to freeze."""
    with PostgresServer(postgres_bin) as started:
        yield started


@pytest.fixture
def frozen_store(server: PostgresServer) -> Iterator[Store]:
    """A store that waits for half a second, used already, on a server that may be frozen."""
    with server.fresh_database() as url:
        store = Store(url, durability="normal", auto_migrate=True, timeout=0.5)
        store.open()
        try:
            store.write_sync(InsertJobs([new_job()], patience=FAR_BEYOND))
            wish = UniqueWish("before")
            store.write_sync(InsertUnique([new_job(unique=wish)], patience=FAR_BEYOND))
            wait_until(lambda: _can_read(store))
            yield store
        finally:
            server.resume()
            store.close()


async def test_enqueues_on_the_wire_are_told_in_time(
    server: PostgresServer, frozen_store: Store
) -> None:
    """Those with the server and those that wait behind them, plain and unique."""
    store = frozen_store
    first, *behind = [new_job() for _ in range(5)]
    with server.paused():
        async with asyncio.timeout(FAR_BEYOND):
            writes = [store.write(InsertJobs([first]))]
            await _until(lambda: store._writer is not None and len(store._writer._under_way) > 0)
            writes += [store.write(InsertJobs([each])) for each in behind]
            with ThreadPoolExecutor(2) as pool:
                sync = pool.submit(store.write_sync, InsertJobs([new_job()]))
                unique = pool.submit(insert_unique, store, "k")
                answers: list[Any] = await asyncio.gather(*writes, return_exceptions=True)
                await _until(lambda: sync.done() and unique.done())
            answers += [sync.exception(), unique.exception()]
    assert [type(each) for each in answers] == [StoreUnavailable] * 7
    assert "no answer for" in str(answers[0])
    # The first may be committed, now that the server goes on. The rest never got there.
    assert (await store.write(InsertJobs([new_job()], patience=FAR_BEYOND)))[0].is_new
    wait_until(lambda: _can_read(store))
    with store.database.reading.connect() as connection:
        there = queries.get_status(connection, [each.id for each in (first, *behind)])
    assert set(there) <= {first.id}


async def _until(true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, true, FAR_BEYOND)


async def test_reads_are_told_in_time(server: PostgresServer, frozen_store: Store) -> None:
    store = frozen_store
    with server.paused():
        async with asyncio.timeout(FAR_BEYOND):
            reads = [store.read(queries.get_status, []) for _ in range(12)]
            answers = await asyncio.gather(*reads, return_exceptions=True)
            sync = asyncio.to_thread(store.read_sync, queries.get_status, [])
            answers += await asyncio.gather(sync, return_exceptions=True)
    assert [type(each) for each in answers] == [StoreUnavailable] * 13
    assert str(answers[-1]).endswith("no answer for 0.5 s")
    wait_until(lambda: _can_read(store))


def _can_read(store: Store) -> bool:
    try:
        store.read_sync(queries.get_status, [])
    except StoreUnavailable:
        return False
    return True


async def test_what_was_refused_and_enqueued_again_is_there_once(
    server: PostgresServer, frozen_store: Store
) -> None:
    store = frozen_store
    job = new_job()
    with server.paused(), pytest.raises(StoreUnavailable):
        async with asyncio.timeout(FAR_BEYOND):
            await store.write(InsertJobs([job]))
    await store.write(InsertJobs([job], patience=FAR_BEYOND))
    assert _count(store, job.id) == 1


def _count(store: Store, job_id: UUID) -> int:
    wait_until(lambda: _can_read(store))
    with store.database.reading.connect() as connection:
        return len(connection.execute(select(jobs.c.id).where(jobs.c.id == job_id)).all())


async def test_who_waits_for_ever_is_served_when_the_server_is_back(
    server: PostgresServer, frozen_store: Store
) -> None:
    """A finish, a claim: nobody may lose them."""
    job = new_job()
    with server.paused():
        write = frozen_store.write(InsertJobs([job], patience=None))
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(FAR_BEYOND):
                await frozen_store.write(InsertJobs([new_job()]))
        assert not write.done()
    async with asyncio.timeout(FAR_BEYOND):
        [inserted] = await write
    assert inserted.id == job.id


async def test_a_waiter_of_its_own_hears_what_became_of_it_after_its_caller_was_told(
    server: PostgresServer, frozen_store: Store
) -> None:
    """The commit may have claimed the job: then somebody must run it."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Any] = loop.create_future()
    caller: asyncio.Future[Any] = loop.create_future()
    with server.paused():
        frozen_store.write_for(waiter, InsertJobs([new_job()]), loop, caller)
        async with asyncio.timeout(FAR_BEYOND):
            with pytest.raises(StoreUnavailable):
                await caller
        assert not waiter.done()
    async with asyncio.timeout(FAR_BEYOND):
        [inserted] = await waiter
    assert inserted.is_new


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are cut after two seconds already."""
    monkeypatch.setattr(store_module, "CUT_SECONDS", 2.0)


@pytest.mark.usefixtures("cuts")
async def test_a_connection_without_an_answer_is_cut_and_its_work_repeated(
    server: PostgresServer, frozen_store: Store
) -> None:
    """A pooler or a proxy may never speak again on a connection whose server is gone."""
    store = frozen_store
    job = new_job()
    with server.paused():
        write = store.write(InsertJobs([job], patience=None))
        with pytest.raises(StoreUnavailable):
            async with asyncio.timeout(FAR_BEYOND):
                await store.read(queries.get_status, [])
        await _until(lambda: store.trouble is not None)
    async with asyncio.timeout(FAR_BEYOND):
        await write
    assert _count(store, job.id) == 1


class _Slow(Operation[bool]):
    """Statements that take longer than their caller waits."""

    patience = 0.2

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def apply_one(self, tx: Transaction) -> bool:
        while not self.may_end.is_set():
            tx.execute(text("SELECT pg_sleep(0.1)"))
        return True


async def test_what_is_merely_slow_comes_to_its_end(frozen_store: Store) -> None:
    store = frozen_store
    commits = store.commits
    slow = _Slow()
    with pytest.raises(StoreUnavailable, match="no answer for"):
        await store.write(slow)
    slow.may_end.set()
    await store.write(InsertJobs([new_job()], patience=None))
    assert store.commits == commits + 2


def test_a_frozen_server_does_not_hold_up_the_end(
    server: PostgresServer, frozen_store: Store
) -> None:
    store = frozen_store
    with ThreadPoolExecutor(1) as pool, server.paused():
        write = pool.submit(store.write_sync, InsertJobs([new_job()], patience=None))
        with pytest.raises(StoreUnavailable):
            store.read_sync(queries.get_status, [])
        begun = time.monotonic()
        store.close(timeout=1.0)
        assert time.monotonic() - begun < FAR_BEYOND
        assert isinstance(write.exception(FAR_BEYOND), StoreUnavailable)
    wait_until(lambda: not _threads_of_the_store())


def _threads_of_the_store() -> list[str]:
    names = [each.name for each in threading.enumerate()]
    return [each for each in names if each.startswith(("fastapi-jobs-w", "fastapi-jobs-sweep"))]


def test_a_network_that_swallows_everything_is_noticed(postgres_url: str) -> None:
    """By the kernel: what is sent and never acknowledged, and a peer that is gone while idle."""
    assert _network(postgres_url) == ("10", "5", "3", "20000", "5")
    assert _network(f"{postgres_url}?tcp_user_timeout=7000&connect_timeout=3") == (
        *("10", "5", "3", "7000", "3"),
    )


def _network(url: str) -> tuple[str | None, ...]:
    database = Database(url)
    try:
        with database.reading.connect() as connection:
            driver: Any = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            given = driver.info.get_parameters()
    finally:
        database.dispose()
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    return tuple(given.get(name) for name in (*names, "connect_timeout"))


def test_a_reader_that_comes_back_after_the_end_closes_its_connection(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.reader() as connection:
        driver: Any = connection.connection.driver_connection
        database.dispose()
        assert not driver.closed
    assert driver.closed
