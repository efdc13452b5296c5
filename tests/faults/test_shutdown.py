"""SIGTERM to a real server: nobody who waits holds it up, and nothing that never ends."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastapi_jobs.status import AttemptOutcome, JobStatus
from tests.faults import ledger
from tests.faults.processes import LIMIT, Launcher
from tests.faults.view import View
from tests.servers import wait_until

pytestmark = pytest.mark.slow

FAR_BEYOND = 10 * LIMIT


def test_those_who_wait_are_let_go(launch: Launcher, view: View, folder: Path) -> None:
    """A server lets requests end before it shuts the app down."""
    server = launch.server(shutdown_seconds=0.1, max_wait=FAR_BEYOND)
    job = server.enqueue("sleep_for_ever")
    wait_until(lambda: len(ledger.lines(folder, ledger.BEGUN)) == 1, LIMIT)
    paths = [f"/jobs/{job}?wait={FAR_BEYOND}", f"/result/{job}", f"/result-sync/{job}"]
    with ThreadPoolExecutor(3) as clients:
        asked = [clients.submit(server.ask, "GET", path) for path in paths]
        bare = {path.partition("?")[0] for path in paths}
        wait_until(lambda: bare <= set(server.ask("GET", "/requests")[1]), LIMIT)
        server.terminate()
        polled, *results = [each.result() for each in asked]
    assert polled[0] == 200
    assert polled[1]["status"] == "running"
    said = f"Job {job} is still running as this process stops."
    assert results == [(503, {"detail": said})] * 2
    assert view.jobs()[job].status == JobStatus.QUEUED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_never_ends_is_given_back_and_does_not_keep_the_process(
    launch: Launcher, view: View, folder: Path, number: signal.Signals
) -> None:
    server = launch.server(shutdown_seconds=0.1)
    job = server.enqueue("never_end")
    wait_until(lambda: len(ledger.lines(folder, ledger.BEGUN)) == 1, LIMIT)
    server.send(number)
    server.wait()
    assert view.jobs()[job].status == JobStatus.QUEUED
    assert [each.outcome for each in view.attempts()[job]] == [AttemptOutcome.RELEASED]
    assert not view.workers(), "it left without its row"
