"""The demo on Celery: servers, workers and app start together, and nothing of them stays."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.example.running import ROOT
from tests.redis_server import find_redis
from tests.servers import free_port, wait_until

LIMIT = 120.0

pytestmark = pytest.mark.slow


class Demo:
    """One start of it."""

    def __init__(self, folder: Path, postgres: Path, redis: str, *arguments: str) -> None:
        self.log = folder / "demo.log"
        self.port = free_port()
        temporary = folder / "tmp"
        temporary.mkdir()
        # PostgreSQL is another account's where root starts it.
        shared = Path(tempfile.gettempdir()).resolve()
        for each in (temporary, *temporary.resolve().parents):
            if shared in each.parents:
                each.chmod(0o755)
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "example_project.cluster", "--port", str(self.port)),
                    *("--postgres", str(postgres), "--redis", redis, *arguments),
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "EXAMPLE_PROJECT_OUT": str(folder / "out"),
                    "TMPDIR": str(temporary),
                    "COLUMNS": "200",
                },
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.temporary = temporary
        self._seen: set[psutil.Process] = set()

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def until(self, line: str) -> None:
        """Wait until it says this."""
        wait_until(lambda: line in self.said() or self._ended(), LIMIT, self.said)
        assert line in self.said(), self.said()
        self._seen |= set(psutil.Process(self.process.pid).children(recursive=True))

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def parts(self, *words: str) -> list[psutil.Process]:
        """The processes seen so far whose command has these words."""
        return [each for each in self._seen if _is(each, words)]

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(LIMIT)

    def left(self) -> list[str]:
        """What of it still lives."""
        found = []
        for each in self._seen:
            with suppress(psutil.NoSuchProcess):
                if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{each.pid} {each.cmdline()}")
        return found


def _is(process: psutil.Process, words: tuple[str, ...]) -> bool:
    with suppress(psutil.NoSuchProcess):
        return set(words) <= set(process.cmdline())
    return False


@pytest.fixture
def demo(tmp_path: Path, postgres_bin: Path) -> Iterator[Demo]:
    """It has run its first batch; whatever a test does, nothing of it stays."""
    demo = Demo(tmp_path, postgres_bin, find_redis(), "--jobs", "3")
    try:
        demo.until("Serving.")
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()
        for each in demo.parts():
            with suppress(psutil.NoSuchProcess):
                each.kill()


def test_all_of_it_runs_and_ctrl_c_ends_all_of_it(demo: Demo) -> None:
    assert "3 succeeded, 0 failed" in demo.said()
    url, staff = f"http://127.0.0.1:{demo.port}", {"shop_name": "staff"}
    with httpx2.Client(base_url=url, cookies=staff, timeout=30) as http:
        jobs: list[dict[str, Any]] = http.get("/jobs").json()["items"]
        assert len(jobs) == 3
        runs = [run for job in jobs for run in http.get(f"/jobs/{job['id']}/attempts").json()]
        assert {run["backend"] for run in runs} == {"celery"}
        workers = http.get("/jobs/workers").json()
    slots = {
        tuple(each["queues"]): each["slots"] for each in workers if each["backends"] == ["celery"]
    }
    assert slots == {
        ("default", "reports"): {"celery": 20},
        ("computing", "pictures"): {"celery": 1},
    }
    assert len(demo.parts("worker")) >= 2
    assert demo.parts("-m", "example_project")
    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0, demo.said()
    assert demo.left() == []
    assert list(demo.temporary.iterdir()) == []
    for name in ("The app", "The worker for what waits", "PostgreSQL", "Redis"):
        assert f"{name} has stopped." in demo.said()
    assert "Traceback" not in demo.said()


def test_one_part_that_dies_ends_the_rest_and_is_named(demo: Demo) -> None:
    found = re.search(r"Redis (\d+) on", demo.said())
    assert found is not None
    os.kill(int(found[1]), signal.SIGKILL)
    assert demo.end() == 2
    assert f"Redis ended with {-signal.SIGKILL}" in demo.said()
    assert demo.left() == []


def test_not_even_kill_9_leaves_a_part_behind(demo: Demo) -> None:
    demo.process.kill()
    demo.end()
    wait_until(lambda: not demo.left(), LIMIT, lambda: str(demo.left()))


def test_a_server_that_does_not_start_is_told(tmp_path: Path, postgres_bin: Path) -> None:
    demo = Demo(tmp_path, postgres_bin, "/bin/false")
    assert demo.end() == 2
    assert "Redis ended with 1" in demo.said()
    assert "Traceback" not in demo.said()
    assert list(demo.temporary.iterdir()) == []
