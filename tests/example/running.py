"""Starts `python -m example_project` on data of its own."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Example:
    """One start of the example; its output is collected as it comes."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "example_project"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=os.environ | environment(folder) | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def end(self, limit: float = 90.0) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(limit)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.end()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def __enter__(self) -> "Example":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()


def environment(folder: Path) -> dict[str, str]:
    """Variables that keep all data of the example in `folder`."""
    return {
        "FASTAPI_JOBS_DATABASE_URL": f"sqlite:///{folder / 'jobs.db'}",
        "EXAMPLE_PROJECT_OUT": str(folder / "out"),
        "COLUMNS": "200",
    }


def rows(folder: Path, statement: str) -> Sequence[tuple[Any, ...]]:
    """What a statement finds in the example's database; nothing before it is there."""
    if not (folder / "jobs.db").exists():
        return []
    with closing(sqlite3.connect(folder / "jobs.db", timeout=30)) as connection:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) and not _is_migrated(connection):
                return []
            raise


def _is_migrated(connection: sqlite3.Connection) -> bool:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return ("fastapi_jobs_idempotency",) in names.fetchall()
