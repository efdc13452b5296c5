"""`max_running` is true over all processes: the jobs themselves count."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import LIMIT, Launcher
from tests.faults.tasks import counts
from tests.faults.view import View

pytestmark = pytest.mark.slow

COUNT = 1000
MOST_ROUNDS = 5


@pytest.mark.parametrize("task", ["in_narrow_queue", "limited"])
def test_four_processes_never_run_more_than_three(
    launch: Launcher, view: View, folder: Path, task: str
) -> None:
    # They look again and again, so that all four want the same three places.
    limits: dict[str, Any] = {"queues": {"narrow": {"max_running": 3}}, "poll_seconds": 0.1}
    server = launch.server(**limits)
    for _ in range(3):
        launch.worker(**limits)
    body = {"seconds": 0.002}
    # Whoever ends a job takes the next: one process may happen to keep all three places.
    for number in range(1, MOST_ROUNDS + 1):
        for _ in range(2):
            assert server.ask("POST", f"/enqueue-many/{task}?count={COUNT}", body)[0] == 202
        found = view.wait_for_all(limit=5 * LIMIT)
        assert {row.status for row in found.values()} == {"succeeded"}
        assert counts(folder, task) == (0, 3, 2 * COUNT * number)
        if len({row.worker_id for row in found.values()}) > 1:
            return
    pytest.fail("one process ran all")
