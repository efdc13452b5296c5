"""Any process answers for any job."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.processes import LIMIT, Launcher
from tests.faults.view import View, wait_for_begun
from tests.servers import wait_until

pytestmark = pytest.mark.slow


def test_four_uvicorn_workers_answer_for_a_running_job(
    launch: Launcher, view: View, folder: Path
) -> None:
    server = launch.server(workers=4)
    wait_until(lambda: len(view.workers()) == 4, LIMIT, lambda: "four workers")
    job_id = server.enqueue("sleep_for_ever")
    wait_for_begun(folder, [job_id])
    with ThreadPoolExecutor(16) as clients:
        path = f"/status/{job_id}"
        answers = list(clients.map(lambda _: server.ask("GET", path), range(1000)))
    right = {"id": str(job_id), "status": "running", "attempt": 1}
    wrong = [each for each in answers if each[0] != 200 or right.items() - each[1].items()]
    assert not wrong
    assert len({body["pid"] for _, body in answers}) > 1, "one process answered all"
