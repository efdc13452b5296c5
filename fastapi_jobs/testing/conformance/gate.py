"""A gate at which jobs of any process wait, until a test lets them through."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

LIMIT = 30.0
"""Seconds after which a wait has failed; far above what any of them takes."""

STEP = 0.005


class Gate:
    """A file for which jobs wait, and another in which each says that it has begun."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "gate"

    def __str__(self) -> str:
        return str(self.file)

    def __enter__(self) -> "Gate":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open()

    def open(self) -> None:
        """Let everybody through."""
        self.file.touch()

    @property
    def pids(self) -> list[int]:
        """The process of each attempt that has come to the gate."""
        began = Path(f"{self.file}.began")
        return [int(line) for line in began.read_text().split()] if began.exists() else []

    async def reached(self, times: int = 1) -> None:
        """Wait until so many attempts have come to the gate."""
        await eventually(lambda: len(self.pids) >= times, f"{times} attempts at the gate")


def come_to(gate: str) -> float:
    """Called by a job: note that it has begun; until when it may wait, on the monotonic clock."""
    note(f"{gate}.began", str(os.getpid()))
    return time.monotonic() + 2 * LIMIT


def is_open(gate: str) -> bool:
    """Whether jobs may pass."""
    return os.path.exists(gate)


def note(file: str, text: str) -> None:
    """Append one line; atomic over threads and processes."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], what: str, limit: float = LIMIT
) -> None:
    """Wait for a condition; fails naming it."""
    end = time.monotonic() + limit
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        await asyncio.sleep(0.01)
