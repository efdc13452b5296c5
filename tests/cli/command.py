"""The real command in a process of its own, in a folder with its own settings."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi_jobs import FastAPIJobs, Job
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
LIMIT = 60.0
COMMAND = [sys.executable, "-m", "fastapi_jobs"]
QUICK = {"heartbeat_seconds": 0.25, "lease_seconds": 5.0, "poll_seconds": 0.1}


class Site:
    """A folder with a settings.toml whose tasks are those of `tests.cli.work`."""

    def __init__(self, folder: Path, database_url: str, **settings: object) -> None:
        self.folder, self.url = folder, database_url
        self.room = folder / "room"
        self.room.mkdir(exist_ok=True)
        self.write(database_url=database_url, task_modules=["tests.cli.work"], **QUICK, **settings)

    def write(self, **settings: object) -> None:
        """Write the settings file."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        text = "\n".join(["[default.fastapi_jobs]", *lines, ""])
        (self.folder / "settings.toml").write_text(text)

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=environment(variables),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def check(self, *words: str, **variables: str) -> tuple[int, dict[str, list[str]]]:
        """The exit code of `check`, and its texts by `level code`."""
        done = self.run("check", "--json", "--app-dir", str(ROOT), *words, **variables)
        assert "Traceback" not in done.stderr
        found: dict[str, list[str]] = {}
        for each in json.loads(done.stdout)["findings"]:
            found.setdefault(f"{each['level']} {each['code']}", []).append(each["text"])
        return done.returncode, found

    @contextmanager
    def worker(self, *words: str) -> Iterator["RunningWorker"]:
        """A worker that has said what it runs; killed at the end if it still lives."""
        worker = RunningWorker(self.folder, words)
        try:
            wait_until(worker.has_begun, LIMIT, worker.said)
            yield worker
        finally:
            worker.kill()

    @contextmanager
    def jobs(self) -> Iterator[FastAPIJobs]:
        """A FastAPIJobs of this process, which only enqueues."""
        with FastAPIJobs(database_url=self.url, dispatch=False, migrate=True) as jobs:
            yield jobs

    def wait_started(self) -> None:
        """Wait until `wait_for` or `block_for` runs."""
        wait_until((self.room / "started").exists, LIMIT, lambda: "the task's start")

    def let_go(self) -> None:
        """Let it end."""
        (self.room / "go").touch()


class RunningWorker:
    """A `fastapi-jobs worker` process and what it says."""

    _count = 0

    def __init__(self, folder: Path, words: tuple[str, ...]) -> None:
        RunningWorker._count += 1
        self.log = folder / f"worker{RunningWorker._count}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "worker", "--app-dir", str(ROOT), *words],
                cwd=folder,
                env=environment({}),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """All it has written."""
        return self.log.read_text()

    def has_begun(self) -> bool:
        """Whether it said what it runs."""
        assert self.process.poll() is None, self.said()
        return f"worker {self.process.pid} runs" in self.said()

    def signal(self, number: signal.Signals) -> None:
        """Signal its process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait_said(self, words: str) -> None:
        """Wait until it says `words`."""
        wait_until(lambda: words in self.said(), LIMIT, self.said)

    def wait_end(self) -> int:
        """Its exit code, when it ends by itself."""
        code = self.process.wait(LIMIT)
        assert "Traceback" not in self.said(), self.said()
        return code

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)


def environment(variables: dict[str, str]) -> dict[str, str]:
    """This process's environment with some variables, and no colours."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **variables}


def wait_status(job: Job[Any], status: str) -> Job[Any]:
    """Wait until `job` has this status; returns its newest value."""
    wait_until(lambda: job.refresh_sync().status == status, LIMIT, lambda: str(job.refresh_sync()))
    return job.refresh_sync()
