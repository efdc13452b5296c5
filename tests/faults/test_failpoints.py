"""kill -9 at the worst moments: every 202 is a job, it finishes, and nothing is decided twice."""

import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from fastapi_jobs.status import FINAL, JobStatus
from tests.faults import ledger
from tests.faults.processes import Launcher
from tests.faults.view import View, assert_nothing_lost_or_doubled

pytestmark = pytest.mark.slow


def assert_charged_by_law(view: View, at_death: dict[UUID, Any]) -> None:
    """Who ran alone when the process died is charged, of several nobody is (law 6)."""
    running = {job_id for job_id, row in at_death.items() if row.status == JobStatus.RUNNING}
    for job_id, row in view.jobs().items():
        assert row.crashes == int(running == {job_id}), (len(running), row)
        if job_id not in running:
            assert row.attempt == 1, "a job that did not run at the time ran twice"


# One claim may take many jobs: it is not reached as often as the others.
@pytest.mark.parametrize("place", ["insert:12", "claim:3", "begin:12", "return:12", "finish:12"])
def test_killed_in_the_middle_of_many(
    launch: Launcher, view: View, folder: Path, place: str
) -> None:
    server = launch.server(failpoint=place)
    accepted = server.enqueue_all(40, "note", seconds=0.03)
    assert server.wait() == -signal.SIGKILL
    at_death = view.at_death()
    assert set(accepted) <= set(at_death)
    decided = {key for key, row in at_death.items() if row.status in FINAL}
    calls = [line for line in ledger.lines(folder, ledger.BEGUN) if line.job_id in decided]
    launch.server()
    view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    assert_charged_by_law(view, at_death)
    assert [x for x in ledger.lines(folder, ledger.BEGUN) if x.job_id in decided] == calls


def test_killed_after_an_insert_that_was_no_claim(
    launch: Launcher, view: View, folder: Path
) -> None:
    api = launch.server(dispatch=False, failpoint="insert:12")
    api.enqueue_all(40, "note")
    assert api.wait() == -signal.SIGKILL
    found = view.at_death()
    assert len(found) >= 12, "the kill came before the commit"
    assert {row.status for row in found.values()} == {JobStatus.QUEUED}
    assert len(ledger.lines(folder, ledger.ACCEPTED)) < len(found), "it answered after its death"
    launch.worker()
    view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    assert_charged_by_law(view, found)


@pytest.mark.parametrize("place", ["claim:2", "begin:12", "return:12", "finish:12"])
def test_a_worker_is_killed_beside_an_api_that_goes_on(
    launch: Launcher, view: View, folder: Path, place: str
) -> None:
    api = launch.server(dispatch=False)
    worker = launch.worker(failpoint=place)
    while worker.lives:
        assert len(api.enqueue_all(20, "note", seconds=0.02)) == 20, "the API was hurt as well"
    assert worker.wait() == -signal.SIGKILL
    assert len(api.enqueue_all(5, "note")) == 5
    at_death = view.at_death()
    launch.worker()
    view.wait_for_all()
    assert_nothing_lost_or_doubled(view, folder)
    assert_charged_by_law(view, at_death)
