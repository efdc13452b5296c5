"""The writer: isolation in a batch, locked, lost and full databases, its end; the watcher."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import database as database_module
from fastapi_jobs.store import outbox, queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Operation, Transaction
from fastapi_jobs.store.watcher import Watcher
from tests.servers import wait_until
from tests.store.driving import (
    NOW,
    claim,
    claim_one,
    finish_of,
    insert,
    insert_unique,
    job_of,
    new_job,
    open_store,
    queued,
    register,
)


async def test_concurrent_writes_share_commits(store: Store) -> None:
    """Law 2: while one commit is under way the next batch gathers by itself."""
    tally = _Tally()
    await asyncio.gather(*(store.write(_Tallied(tally)) for _ in range(200)))
    assert tally.operations == 200
    assert tally.batches < 100


async def test_the_turns_of_a_loop_share_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that come in one after the other: each turn brings another operation."""
    monkeypatch.setattr(outbox, "GATHER_SECONDS", 60.0)  # each turn may be slow here
    tally = _Tally()
    writes = []
    for _ in range(10):
        writes.append(store.write(_Tallied(tally)))
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    assert (tally.operations, tally.batches) == (10, 1)


async def test_a_loop_that_is_never_quiet_hands_over_too(store: Store) -> None:
    tally = _Tally()
    first = store.write(_Tallied(tally))
    writes = []
    while not first.done():
        writes.append(store.write(_Tallied(tally)))
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    assert tally.operations == len(writes) + 1


class _Tally:
    def __init__(self) -> None:
        self.batches = self.operations = 0


class _Tallied(Operation[None]):
    def __init__(self, tally: _Tally) -> None:
        self.tally = tally

    @classmethod
    def apply(cls, tx: Transaction, operations: Any) -> list[None]:
        operations[0].tally.batches += 1
        operations[0].tally.operations += len(operations)
        return [None] * len(operations)


class _Failing(Operation[None]):
    """An operation that the database refuses."""

    def apply_one(self, tx: Transaction) -> None:
        tx.execute(text("SELECT * FROM no_such_table"))


async def test_a_failing_operation_is_isolated(store: Store) -> None:
    """Law 2: only its caller hears of it."""
    jobs = [new_job() for _ in range(20)]
    writes = [store.write(InsertJobs([job])) for job in jobs]
    failing = store.write(_Failing())
    answers = await asyncio.gather(*writes[:10], failing, *writes[10:], return_exceptions=True)
    failed = [each for each in answers if isinstance(each, BaseException)]
    assert len(failed) == 1
    assert "no_such_table" in str(failed[0])
    assert len(store.read_sync(queries.get_status, [job.id for job in jobs])) == 20


@pytest.mark.parametrize("name", ["x" * 300, "a\x00b"], ids=["too_long", "nul"])
async def test_a_row_that_postgresql_refuses_is_isolated(postgres_store: Store, name: str) -> None:
    jobs = [new_job() for _ in range(5)]
    bad = postgres_store.write(InsertJobs([new_job(task=name)]))
    writes = [postgres_store.write(InsertJobs([job])) for job in jobs]
    answers = await asyncio.gather(*writes[:2], bad, *writes[2:], return_exceptions=True)
    assert [isinstance(each, Exception) for each in answers] == [False, False, True, *[False] * 3]
    assert len(postgres_store.read_sync(queries.get_status, [job.id for job in jobs])) == 5


def test_a_listener_that_fails_does_not_end_the_writer(store: Store) -> None:
    def fail(_hints: object) -> None:
        raise RuntimeError("the loop is closed")

    undo = store.listen(fail)
    queued(store)
    undo()
    [job_id] = queued(store)
    assert job_of(store, job_id).status == JobStatus.QUEUED


def test_listeners_hear_of_commits(store: Store) -> None:
    heard: list[Any] = []
    store.listen(heard.append)
    [job_id] = queued(store)
    claimed = claim_one(store)
    store.write_sync(RequestCancel(job_id, NOW))
    store.write_sync(finish_of(claimed))
    wait_until(lambda: len(heard) >= 3)
    assert [(each.queued, each.cancels, each.finished) for each in heard] == [
        (True, False, []),
        (False, True, []),
        (False, False, [job_id]),
    ]


def test_a_write_that_races_the_end_is_refused_not_forgotten(store: Store) -> None:
    writer = store._writer
    assert writer is not None
    store.close()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(writer.write_sync, InsertJobs([new_job()]))
        with pytest.raises(StoreUnavailable, match="the store was closed"):
            late.result(60)


def test_what_waits_is_committed_at_the_end(store: Store) -> None:
    jobs = [new_job() for _ in range(50)]
    for job in jobs:
        store.send(InsertJobs([job]))
    store.close()
    store.open()
    assert len(store.read_sync(queries.get_status, [job.id for job in jobs])) == 50


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes to this SQLite file and does not come to its end."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own wait for a lock, shortened."""
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
def test_a_locked_sqlite_is_waited_for(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, ThreadPoolExecutor(1) as pool:
        job = new_job()
        with locked(sqlite_url):
            write = pool.submit(store.write_sync, InsertJobs([job]))
            wait_until(lambda: store.trouble is not None)
            assert store.trouble == "database is locked"
            assert store.read_sync(queries.get_job, job.id) is None
        assert write.result(60)[0].is_new
        wait_until(lambda: store.trouble is None)


@pytest.mark.usefixtures("impatient")
def test_patience_ends_with_a_sentence(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store, locked(sqlite_url):
        with pytest.raises(StoreUnavailable) as caught:
            store.write_sync(InsertJobs([new_job()], patience=0.2))
        said = f"The database {sqlite_url} cannot be used now: database is locked"
        assert str(caught.value) == said


def test_a_full_disk_refuses_new_jobs_and_keeps_the_others_waiting(sqlite_store: Store) -> None:
    store = sqlite_store
    queued(store)
    claimed = claim_one(store)
    insert(store, new_job())
    with ThreadPoolExecutor(1) as pool:
        store.write_sync(_MaxPages(full=True))
        with pytest.raises(StoreUnavailable, match="database or disk is full"):
            store.write_sync(InsertJobs([new_job(meta="x" * 100_000)]))
        finish = pool.submit(store.write_sync, finish_of(claimed, result="y" * 100_000))
        wait_until(lambda: store.trouble is not None)
        assert not finish.done()
        store.write_sync(_MaxPages(full=False))
        assert finish.result(60) is JobStatus.SUCCEEDED


class _MaxPages(Operation[None]):
    """Keep the file from growing beyond what it has, which is a full disk to SQLite, or let it."""

    order = 0

    def __init__(self, *, full: bool) -> None:
        self.full = full

    def apply_one(self, tx: Transaction) -> None:
        run = tx.connection.exec_driver_sql
        pages = run("PRAGMA page_count").scalar_one() if self.full else 1_000_000
        run(f"PRAGMA max_page_count = {pages}")


def test_a_lost_connection_is_retried(postgres_store: Store) -> None:
    store = postgres_store
    for _ in range(3):
        _cut(store)
        assert insert(store, new_job())[0].is_new
        _cut(store)
        assert insert_unique(store, str(time.monotonic())).is_new
    assert len(claim(store, register(store))) == 6


class _CutInside(InsertJobs):
    """An insert whose connection is cut after its statement, once."""

    cuts = 1

    @classmethod
    def apply(cls, tx: Transaction, operations: Any) -> Any:
        answers = super().apply(tx, operations)
        if cls.cuts:
            cls.cuts -= 1
            _terminate(tx.database, tx.execute(text("SELECT pg_backend_pid()")).scalar_one())
        return answers


def test_a_connection_lost_before_the_commit_is_retried(postgres_store: Store) -> None:
    job = new_job(tags=("x",))
    operation = _CutInside([job], claimer=register(postgres_store), claimer_backend="asyncio")
    [inserted] = postgres_store.write_sync(operation)
    assert _CutInside.cuts == 0
    assert (inserted.id, inserted.status) == (job.id, JobStatus.RUNNING)
    assert job_of(postgres_store, job.id).attempt == 1


def _cut(store: Store) -> None:
    """End every connection that writes."""
    statement = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid() AND (query LIKE '%COMMIT%' OR query LIKE '%INSERT%' OR state = 'idle')"
    )
    for pid in store.read_sync(lambda connection: connection.execute(statement).scalars().all()):
        _terminate(store.database, pid)


def _terminate(database: Any, pid: int) -> None:
    with database.reading.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_a_stream_of_jobs_survives_cut_connections(postgres_store: Store) -> None:
    store = postgres_store
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.05):
            _cut(store)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        jobs = [new_job() for _ in range(200)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda job: store.write_sync(InsertJobs([job], patience=None)), jobs))
        worker = register(store)
        taken: list[UUID] = []
        while batch := claim(store, worker, 20):
            taken.extend(each.id for each in batch)
    finally:
        stop.set()
        cutter.join()
    assert sorted(taken) == sorted(job.id for job in jobs)


def test_the_watcher_hears_of_other_processes(database_url: str) -> None:
    """Law 11: a hint, from a store that is not ours."""
    with open_store(database_url) as ours, open_store(database_url) as theirs:
        changed = threading.Event()
        watcher = Watcher(ours.database, changed.set)
        try:
            wait_until(lambda: _heard(changed, theirs))
            changed.clear()
            insert(theirs, new_job())
            assert changed.wait(60)
        finally:
            watcher.close()


def _heard(changed: threading.Event, store: Store) -> bool:
    # Until the watcher has begun to listen.
    insert(store, new_job())
    return changed.wait(0.2)


def test_the_watcher_comes_back_after_a_lost_connection(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        changed = threading.Event()
        watcher = Watcher(store.database, changed.set)
        try:
            wait_until(lambda: _heard(changed, store))
            _cut(store)
            changed.clear()
            wait_until(lambda: _heard(changed, store))
        finally:
            watcher.close()


def test_an_unreachable_database_is_named() -> None:
    store = Store("postgresql+psycopg://nobody@127.0.0.1:9/none")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9/none cannot be used now"):
        store.database.ping()
    store.close()
