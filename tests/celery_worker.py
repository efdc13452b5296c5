"""A real `fastapi-jobs worker` for Celery's jobs, in a process group of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.servers import wait_until

ROOT = Path(__file__).parent.parent
LIMIT = 60.0
COMMAND = (sys.executable, "-m", "fastapi_jobs", "worker")


class CeleryWorker:
    """`with CeleryWorker(folder, settings) as worker`: ready inside, gone after.

    `settings` are keyword arguments of FastAPIJobs; `words` are options of the command.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *words: str,
        command: tuple[str, ...] = COMMAND,
        name: str = "worker",
    ) -> None:
        self.settings = folder / f"{name}.toml"
        self.settings.write_text("\n".join(_toml("default.fastapi_jobs", settings)) + "\n")
        self.log = folder / f"{name}.log"
        self.command = [*command, *words]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The Celery worker's main process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it and return when it takes messages."""
        said = len(self.said())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: self._is_ready(said), LIMIT, self.said)

    def _is_ready(self, said: int) -> bool:
        self.check()
        return " ready." in self.said()[said:]

    def check(self) -> None:
        """Fail unless it lives."""
        code = self.process.poll()
        assert code is None, f"It ended with {code}:\n{self.said()[-5000:]}"

    def said(self) -> str:
        """All that it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def children(self) -> list[psutil.Process]:
        """Its pool's processes."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return children

    def terminate(self) -> int:
        """SIGTERM to the main process; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(LIMIT)

    def __enter__(self) -> "CeleryWorker":
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LIMIT)
        self.kill()


def _toml(table: str, values: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{table}]"
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in tables:
            yield f"{key} = {json.dumps(value)}"
    for key, value in tables.items():
        yield from _toml(f"{table}.{key}", value)


def environment(settings: Path) -> dict[str, str]:
    """The variables of a process with this settings file."""
    return {**os.environ, "FASTAPI_JOBS_SETTINGS_MODULE": str(settings), "NO_COLOR": "1"}


@contextmanager
def serving(
    command: Sequence[str], settings: Path, log: Path, is_there: Callable[[], bool], **more: str
) -> Iterator[None]:
    """A server with this settings file, from when it is there to the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(settings) | more, stdout=file, stderr=file
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        return is_there()

    try:
        wait_until(answers, LIMIT, log.read_text)
        yield
    finally:
        process.terminate()
        process.wait(LIMIT)
