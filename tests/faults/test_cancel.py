"""Cancelling a running job from another process, on each kind of backend."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastapi_jobs.status import JobStatus
from tests.faults import ledger
from tests.faults.processes import LIMIT, Launcher, Running
from tests.faults.tasks import counts
from tests.faults.view import View, wait_for_begun
from tests.servers import wait_until

pytestmark = pytest.mark.slow

# As shipped: what is shown is the wake-up, not a fast heartbeat.
SHIPPED: dict[str, Any] = {"heartbeat_seconds": 5.0, "lease_seconds": 15.0, "poll_seconds": 1.0}


@pytest.fixture
def pair(launch: Launcher) -> tuple[Running, Running]:
    """The server that runs jobs, and another that only answers."""
    return launch.server(**SHIPPED), launch.server(**SHIPPED, dispatch=False)


@pytest.mark.parametrize("own", [True, False], ids=["here", "from-elsewhere"])
@pytest.mark.parametrize("task", ["sleep_for_ever", "be_busy"])
def test_what_can_be_stopped_is_cancelled_at_once(
    pair: tuple[Running, Running], view: View, folder: Path, task: str, own: bool
) -> None:
    server, other = pair
    job_id = server.enqueue(task)
    wait_for_begun(folder, [job_id])
    began = time.monotonic()
    status, _ = (server if own else other).ask("POST", f"/cancel/{job_id}")
    assert status == 200
    row = view.wait_for(job_id)
    seconds = time.monotonic() - began
    print(f"{task}: cancelled after {seconds * 1000:.0f} ms")  # noqa: T201
    assert row.status == JobStatus.CANCELLED
    assert [each.outcome for each in view.attempts()[job_id]] == ["cancelled"]
    assert seconds < LIMIT


def asked_but_running(other: Running, view: View, job_id: UUID) -> None:
    """Cancel and look for a while: it is asked, and still runs, once."""
    assert other.ask("POST", f"/cancel/{job_id}")[1] == {"status": "running", "asked": True}
    beats = {key: row.beat for key, row in view.workers().items()}
    wait_until(
        lambda: all(row.beat > beats[key] for key, row in view.workers().items()),
        LIMIT,
        lambda: "a heartbeat after the request",
    )
    row = view.job(job_id)
    assert (row.status, row.attempt, row.fence) == (JobStatus.RUNNING, 1, 1)
    assert row.cancel_requested_at is not None


@pytest.mark.parametrize(("task", "end"), [("be_deaf", "succeeded"), ("be_polite", "cancelled")])
def test_a_thread_is_asked_and_never_run_beside_itself(
    launch: Launcher, view: View, folder: Path, task: str, end: str
) -> None:
    server, other = launch.server(), launch.server()
    job_id = server.enqueue(task)
    wait_for_begun(folder, [job_id])
    asked_but_running(other, view, job_id)
    (folder / "go").touch()
    assert view.wait_for(job_id).status == end
    assert counts(folder, f"{task.removeprefix('be_')}-{job_id}") == (0, 1, 1)
    assert len(ledger.lines(folder, ledger.BEGUN)) == 1
