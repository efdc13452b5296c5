"""200 jobs and a death in their middle: all finish, none twice, and only a crash leaves a mark."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fastapi_jobs.status import AttemptOutcome, JobStatus
from tests.faults import ledger
from tests.faults.processes import LIMIT, Launcher, Running
from tests.faults.tasks import GO
from tests.faults.view import View, assert_nothing_lost_or_doubled, wait_for_begun
from tests.servers import wait_until

pytestmark = pytest.mark.slow

COUNT = 200
SLOTS: dict[str, Any] = {"asyncio": {"max_running": 10}}


def in_the_middle(view: View, folder: Path) -> bool:
    """Some are done, some run, and some wait."""
    book = {line.job_id for line in ledger.lines(folder, ledger.ENDED)}
    return len(book) >= COUNT // 5


def enqueue_until_hurt(
    server: Running, view: View, folder: Path, count: int = COUNT
) -> ThreadPoolExecutor:
    """Let clients enqueue 200 jobs; returns when a fifth of them has ended."""
    clients = ThreadPoolExecutor(1)
    clients.submit(server.enqueue_all, count, "note", seconds=0.1)
    wait_until(lambda: in_the_middle(view, folder), LIMIT, lambda: "a fifth of the jobs to end")
    return clients


def test_one_process_is_killed(launch: Launcher, view: View, folder: Path) -> None:
    server = launch.server(**SLOTS)
    held = server.enqueue("wait_for_go")  # however late the kill comes, this one is running
    wait_for_begun(folder, [held])
    with enqueue_until_hurt(server, view, folder, COUNT - 1):
        server.kill()
    (folder / GO).touch()
    again = launch.server(**SLOTS)
    missing = COUNT - len(ledger.lines(folder, ledger.ACCEPTED))
    assert len(again.enqueue_all(missing, "note", seconds=0.01)) == missing
    found = view.wait_for_all()
    assert len(ledger.lines(folder, ledger.ACCEPTED)) == COUNT
    assert_nothing_lost_or_doubled(view, folder)
    assert [row.attempt for row in found.values() if row.attempt > 1], "it was not in the middle"
    assert sum(row.crashes for row in found.values()) <= 1


def test_one_of_two_uvicorn_workers_is_killed(launch: Launcher, view: View, folder: Path) -> None:
    server = launch.server(workers=2, **SLOTS)
    wait_until(lambda: len(view.workers()) == 2, LIMIT, lambda: "two workers")
    pids = {row.pid for row in view.workers().values()}
    with enqueue_until_hurt(server, view, folder):
        victim = next(line.pid for line in ledger.lines(folder, ledger.BEGUN))
        assert victim in pids
        psutil.Process(victim).send_signal(signal.SIGKILL)
    missing = COUNT - len(ledger.lines(folder, ledger.ACCEPTED))
    assert server.lives
    while missing := COUNT - len(ledger.lines(folder, ledger.ACCEPTED)):
        server.enqueue_all(missing, "note", seconds=0.01)
    found = view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    assert sum(row.crashes for row in found.values()) <= 1
    wait_until(
        lambda: victim not in {row.pid for row in view.workers().values()},
        LIMIT,
        lambda: "the dead one's row to go",
    )


def test_sigterm_charges_nothing(launch: Launcher, view: View, folder: Path) -> None:
    server = launch.server(**SLOTS, shutdown_seconds=0.1)
    long = [server.enqueue("note", seconds=3600.0) for _ in range(3)]
    with enqueue_until_hurt(server, view, folder):
        server.terminate()
    found = view.jobs()
    assert not [row for row in found.values() if row.status == JobStatus.RUNNING]
    assert not view.workers(), "it left without its row"
    assert {found[job_id].status for job_id in long} == {JobStatus.QUEUED}
    released = [each for tries in view.attempts().values() for each in tries if each.number == 1]
    assert AttemptOutcome.RELEASED in {each.outcome for each in released}
    launch.server(asyncio={"max_running": 100}).enqueue("note")
    wait_until(
        lambda: all(view.has(job_id, JobStatus.RUNNING) for job_id in long),
        LIMIT,
        lambda: "the released jobs to run again",
    )
    rows = view.jobs().values()
    assert {(row.failures, row.crashes, row.suspect) for row in rows} == {(0, 0, 0)}
    wait_until(
        lambda: (
            not [
                row
                for row in view.jobs().values()
                if row.status != "succeeded" and row.id not in long
            ]
        ),
        LIMIT,
        lambda: "the short jobs to end",
    )
