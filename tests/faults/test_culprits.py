"""Who kills its process is found out, and nobody else pays (law 6)."""

import signal
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs.status import JobStatus
from tests.faults import ledger
from tests.faults.processes import LIMIT, Launcher, Running
from tests.faults.view import View, wait_for_begun
from tests.servers import wait_until

pytestmark = pytest.mark.slow


def test_a_culprit_among_fifty_innocents(launch: Launcher, view: View, folder: Path) -> None:
    api = launch.server(dispatch=False)
    innocents = api.enqueue_all(50, "innocent")
    worker = launch.worker(max_crashes=3)
    wait_for_begun(folder, innocents)
    culprit = api.enqueue("culprit")
    deaths = 0

    def supervise() -> bool:
        nonlocal worker, deaths
        if not worker.lives:
            deaths += 1
            worker = launch.worker(max_crashes=3, ready=False)
        return all(row.finished_at is not None for row in view.jobs().values())

    wait_until(supervise, 3 * LIMIT, lambda: f"all to finish; {deaths} deaths")
    found = view.jobs()
    assert [found[job_id].status for job_id in innocents] == [JobStatus.SUCCEEDED] * 50
    assert {found[job_id].crashes for job_id in innocents} == {0}
    assert {found[job_id].attempt for job_id in innocents} == {2}
    assert found[culprit].status == JobStatus.FAILED
    assert found[culprit].error == (
        "Crashed: its process died 3 times while it ran; max_crashes is 3."
    )
    assert found[culprit].crashes == 3
    calls = [line for line in ledger.lines(folder, ledger.BEGUN) if line.job_id == culprit]
    assert len(calls) == found[culprit].attempt == deaths


def test_the_certainly_dead_are_rescued_long_before_their_lease_ends(
    launch: Launcher, view: View, folder: Path
) -> None:
    patient: dict[str, Any] = {"lease_seconds": 3600.0}
    victim = launch.server(**patient)
    job_id = victim.enqueue("innocent")
    wait_for_begun(folder, [job_id])
    launch.worker(**patient)
    victim.kill()
    assert view.wait_for(job_id).result == "2"


def test_the_certainly_dead_are_rescued_at_start_up(
    launch: Launcher, view: View, folder: Path
) -> None:
    slow: dict[str, Any] = {"lease_seconds": 7200.0, "heartbeat_seconds": 3600.0}
    victim: Running = launch.server(**slow)
    job_id = victim.enqueue("innocent")
    wait_for_begun(folder, [job_id])
    victim.send(signal.SIGKILL)
    victim.wait()
    launch.worker(**slow)
    assert view.wait_for(job_id).result == "2"
