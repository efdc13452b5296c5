"""Processes and databases that stand still: nothing is recorded twice, no living job is rescued."""

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastapi_jobs.status import AttemptOutcome, JobStatus
from tests.faults import clock, ledger
from tests.faults.processes import LIMIT, Launcher, Running
from tests.faults.tasks import GO
from tests.faults.view import View, assert_nothing_lost_or_doubled, wait_for_begun
from tests.servers import PostgresServer, wait_until

pytestmark = pytest.mark.slow

World = Callable[[str], tuple[Launcher, View]]
LEASE = 2.5
SHORT: dict[str, Any] = {"lease_seconds": LEASE, "heartbeat_seconds": 0.2}
STALL = 2 * LEASE


def test_a_stalled_process_wakes_up_to_find_its_jobs_taken(
    launch: Launcher, view: View, folder: Path
) -> None:
    stalled = launch.server(**SHORT)
    [first] = [key for key, row in view.workers().items() if row.pid == stalled.pid]
    mine = stalled.enqueue_all(5, "wait_for_go")
    wait_for_begun(folder, mine)
    other = launch.worker(**SHORT)
    stalled.send(signal.SIGSTOP)

    def is_rescued() -> bool:
        return any(line.attempt == 2 for line in ledger.lines(folder, ledger.BEGUN))

    wait_until(is_rescued, LIMIT, lambda: "a rescued job to begin again")
    (folder / GO).touch()  # suspects run one at a time: each lets the next one begin
    wait_for_begun(folder, mine, attempt=2)
    time.sleep(STALL)
    stalled.send(signal.SIGCONT)

    def is_back() -> bool:
        return stalled.pid in {row.pid for key, row in view.workers().items() if key != first}

    wait_until(is_back, LIMIT, lambda: "the stalled process to register anew")
    found = view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    for job_id in mine:
        outcomes = [each.outcome for each in view.attempts()[job_id]]
        assert outcomes == [AttemptOutcome.CRASHED, AttemptOutcome.SUCCEEDED]
        assert found[job_id].worker_id != first
    other.terminate()
    later = stalled.enqueue("note")
    assert view.wait_for(later).status == JobStatus.SUCCEEDED
    [ran] = [line for line in ledger.lines(folder, ledger.BEGUN) if line.job_id == later]
    assert ran.pid == stalled.pid


def start_pair(launch: Launcher) -> list[Running]:
    """A server and a worker that could take each other for dead."""
    return [launch.server(**SHORT), launch.worker(**SHORT)]


def assert_no_living_job_was_rescued(view: View, folder: Path, workers: dict[UUID, Any]) -> None:
    """Everything ended in its first attempt, and nobody was taken for dead."""
    found = view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    assert {row.attempt for row in found.values()} == {1}
    assert set(view.workers()) == set(workers), "a living worker lost its row"


def beats(workers: dict[UUID, Any]) -> dict[UUID, int]:
    """How often each has beaten."""
    return {key: row.beat for key, row in workers.items()}


def beats_go_on(view: View, workers: dict[UUID, Any]) -> None:
    """Wait until each worker has beaten several times since: enough to judge and be judged."""

    def beaten() -> bool:
        now = view.workers()
        return all(key not in now or now[key].beat >= row.beat + 8 for key, row in workers.items())

    wait_until(beaten, LIMIT, lambda: "heartbeats to go on")


@contextmanager
def restarted(server: PostgresServer) -> Iterator[None]:
    """Stopped as by a crash inside the block, started after it."""
    server.stop()
    yield
    server.start()


@pytest.mark.parametrize("outage", [PostgresServer.paused, restarted], ids=["frozen", "stopped"])
def test_postgresql_stands_still(
    postgres_server_factory: Callable[..., PostgresServer],
    world: World,
    folder: Path,
    outage: Callable[[PostgresServer], Any],
) -> None:
    database = postgres_server_factory(fsync=True)
    launch, view = world(database.url(database.create_database()))
    server, _ = start_pair(launch)
    mine = [server.enqueue("note", seconds=seconds) for seconds in (0.0, 1.0, 2.0, 8.0)]
    wait_for_begun(folder, mine)
    before = view.workers()
    with outage(database):
        time.sleep(STALL)
    wait_until(lambda: bool(server.enqueue_all(1, "note")), LIMIT, lambda: "enqueue to work again")
    beats_go_on(view, before)
    assert_no_living_job_was_rescued(view, folder, before)


def test_sqlite_is_locked_by_somebody(world: World, folder: Path, sqlite_url: str) -> None:
    launch, view = world(sqlite_url)
    server, _ = start_pair(launch)
    mine = [server.enqueue("note", seconds=seconds) for seconds in (0.0, 1.0, 2.0, 8.0)]
    wait_for_begun(folder, mine)
    before = view.workers()
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        holder.execute("PRAGMA busy_timeout = 30000")
        holder.execute("BEGIN IMMEDIATE")
        since = view.workers()
        time.sleep(STALL)
        assert beats(view.workers()) == beats(since), "nothing was locked"
        holder.execute("ROLLBACK")
    finally:
        holder.close()
    assert server.enqueue("note")
    beats_go_on(view, before)
    assert_no_living_job_was_rescued(view, folder, before)


@pytest.mark.parametrize("seconds", [3600.0, -3600.0], ids=["forward", "back"])
def test_the_wall_clock_jumps(launch: Launcher, view: View, folder: Path, seconds: float) -> None:
    server, _ = start_pair(launch)
    mine = [server.enqueue("note", seconds=seconds) for seconds in (0.0, 4.0)]
    wait_for_begun(folder, mine)
    before = view.workers()
    clock.set_offset(folder, seconds)
    later = [server.enqueue("note", seconds=0.1) for _ in range(5)]
    beats_go_on(view, before)
    jumped = (view.job(later[0]).created_at - view.job(mine[0]).created_at).total_seconds()
    assert abs(jumped - seconds) < 1800, "the clock did not jump"
    assert_no_living_job_was_rescued(view, folder, before)


def test_a_shutdown_ends_while_postgresql_is_away(
    postgres_server_factory: Callable[..., PostgresServer], world: World, folder: Path
) -> None:
    database = postgres_server_factory(fsync=True)
    launch, view = world(database.url(database.create_database()))
    server = launch.server(shutdown_seconds=0.2)
    mine = [server.enqueue("wait_for_go"), server.enqueue("note", seconds=3600.0)]
    wait_for_begun(folder, mine)
    with restarted(database):
        (folder / GO).touch()  # it ends while the database is away
        wait_until(lambda: bool(ledger.lines(folder, ledger.ENDED)), LIMIT, lambda: "it to end")
        server.terminate()
    assert view.job(mine[1]).status == JobStatus.RUNNING, "it could be given back after all"
    launch.worker()
    wait_for_begun(folder, mine[1:], attempt=2)
    assert view.wait_for(mine[0]).status == JobStatus.SUCCEEDED
    assert {row.crashes for row in view.jobs().values()} == {0}
