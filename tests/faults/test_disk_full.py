"""No space left: new jobs are refused with 503, and what was accepted finishes later."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fastapi_jobs.status import JobStatus
from tests.faults import ledger
from tests.faults.processes import LIMIT, Launcher, Refused, Running
from tests.faults.tasks import GO
from tests.faults.view import View, assert_nothing_lost_or_doubled, wait_for_begun
from tests.servers import wait_until

pytestmark = pytest.mark.slow

PAYLOAD = "x" * 100_000


def status_of_the_first_refused(server: Running) -> int:
    """Enqueue until there is no space any more."""
    for _ in range(1000):
        try:
            server.enqueue("note", payload=PAYLOAD)
        except Refused as error:
            return error.status
    return 202


def test_no_space_left(
    world: Callable[[str], tuple[Launcher, View]], sqlite_url: str, folder: Path
) -> None:
    launch, view = world(sqlite_url)
    server = launch.server()
    running = [server.enqueue("wait_for_go") for _ in range(5)]
    wait_for_begun(folder, running)
    # The kernel refuses to let this process's files grow, as it does on a full disk.
    assert server.ask("POST", "/file-limit?size=300000")[0] == 200
    assert status_of_the_first_refused(server) == 503
    accepted = {line.job_id for line in ledger.lines(folder, ledger.ACCEPTED)}
    (folder / GO).touch()
    wait_until(
        lambda: {line.job_id for line in ledger.lines(folder, ledger.ENDED)} >= set(running),
        LIMIT,
        lambda: "the running functions to end",
    )
    assert server.ask("GET", f"/status/{running[0]}")[0] == 200, "it cannot even be read"
    with pytest.raises(Refused) as refused:
        server.enqueue("note", payload=PAYLOAD)
    assert refused.value.status == 503
    assert any(row.status == JobStatus.RUNNING for row in view.jobs().values())
    assert server.ask("POST", "/file-limit?size=-1")[0] == 200
    found = view.wait_for_all()
    assert set(found) == accepted, "a refused job was stored"
    assert {row.attempt for row in found.values()} == {1}
    assert_nothing_lost_or_doubled(view, folder)
    assert view.wait_for(server.enqueue("note")).status == JobStatus.SUCCEEDED
