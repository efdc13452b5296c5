"""Starts the processes under test, asks them, hurts them by their ids, and clears them away."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.faults.ledger import ACCEPTED, append
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parent.parent.parent
LIMIT = 60.0
"""Seconds that anything may take here before the test gives up."""


class Running:
    """One process in a session of its own, with whatever it starts."""

    def __init__(self, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.port = 0
        self.folder = folder
        self.log = folder / "processes.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Signal this process, not its children."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.send(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def terminate(self) -> None:
        """SIGTERM, and wait for the end."""
        self.send(signal.SIGTERM)
        self.wait()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        return self._process.wait(LIMIT)

    def clear_away(self) -> None:
        """Kill it and all that it started."""
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)
        self._process.wait(LIMIT)

    # For servers.

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of an answer; raises OSError or HTTPException when there is none."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            assert answer.status != 500, self.log.read_text()[-5000:]
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def enqueue(self, task: str, delay: float = 0.0, **arguments: object) -> UUID:
        """A job that was accepted, and stands in the ledger."""
        status, body = self.ask("POST", f"/enqueue/{task}?delay={delay}", arguments)
        if status != 202:
            raise Refused(status, body)
        append(self.folder, ACCEPTED, body["job_id"])
        return UUID(body["job_id"])

    def enqueue_all(
        self, count: int, task: str, delay: float = 0.0, **arguments: object
    ) -> list[UUID]:
        """Up to `count` jobs by 8 clients; those of them that were accepted before it died."""

        def one(_: int) -> UUID | None:
            try:
                return self.enqueue(task, delay, **arguments)
            except (OSError, HTTPException):
                return None

        with ThreadPoolExecutor(8) as clients:
            return [job for job in clients.map(one, range(count)) if job is not None]

    def is_ready(self) -> bool:
        """Whether it runs jobs."""
        if not self.lives:
            raise RuntimeError(f"It ended at its start:\n{self.log.read_text()[-3000:]}")
        if not self.port:
            return (self.folder / f"ready-{self.pid}").exists()
        try:
            return self.ask("GET", "/ready")[0] == 200
        except (OSError, HTTPException):
            return False


class Refused(Exception):
    """A server said something else than 202."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        super().__init__(f"{status}: {body}")


class Launcher:
    """Starts servers and workers on one database; `clear_away` ends them all."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {
            "database_url": url,
            "migrate": True,
            "heartbeat_seconds": 0.25,
            "lease_seconds": 60.0,
            "poll_seconds": 0.2,
            "shutdown_seconds": 10.0,
        }
        self._all: list[Running] = []

    def worker(self, *, failpoint: str = "", ready: bool = True, **settings: object) -> Running:
        """A process that only runs jobs; returns when it does."""
        return self._start(["-m", "tests.faults.worker"], 0, failpoint, ready, settings)

    def server(
        self, workers: int = 1, *, failpoint: str = "", ready: bool = True, **settings: object
    ) -> Running:
        """A uvicorn with one or more processes that run jobs; returns when it answers."""
        port = free_port()
        command = ["-m", "uvicorn", "tests.faults.app:app", "--port", str(port)]
        command += ["--workers", str(workers), "--no-access-log"]
        # Its supervisor kills a worker that stands still for a while, with what that runs.
        command += ["--timeout-worker-healthcheck", "60"]
        return self._start(command, port, failpoint, ready, settings)

    def _start(
        self, command: list[str], port: int, failpoint: str, ready: bool, settings: dict[str, Any]
    ) -> Running:
        environment = {
            "FAULTS_SETTINGS": json.dumps(self.settings | settings),
            "FAULTS_FOLDER": str(self.folder),
        }
        if failpoint:
            environment["FASTAPI_JOBS_FAILPOINT"] = failpoint
        started = Running(command, environment, self.folder)
        self._all.append(started)
        started.port = port
        if ready:
            wait_until(started.is_ready, LIMIT, lambda: started.log.read_text()[-3000:])
        return started

    def clear_away(self) -> None:
        """End everything that was started."""
        for each in self._all:
            each.clear_away()
