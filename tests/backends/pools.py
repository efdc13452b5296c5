"""What the tests of the child pool share: pools of echo children, and waiting on conditions."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from fastapi_jobs.backends.children import ChildPool

ECHO_CHILD = (sys.executable, str(Path(__file__).with_name("echo_child.py")))
LIMIT = 30.0


@asynccontextmanager
async def echo_pool(
    *options: str,
    size: int = 1,
    kill_grace: float = 0.0,
    max_calls: int | None = None,
    max_memory: int | None = None,
) -> AsyncIterator[ChildPool]:
    """A started pool; afterwards no process, descriptor, thread or task of it is left."""
    me = psutil.Process()
    descriptors, tasks = me.num_fds(), asyncio.all_tasks()
    processes = set(me.children())  # such as the test run's own PostgreSQL
    pool = ChildPool(
        command=(*ECHO_CHILD, *options),
        size=size,
        hello=b"good morning",
        kill_grace=kill_grace,
        max_calls=max_calls,
        max_memory=max_memory,
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
    assert pool.children == []
    assert set(me.children()) <= processes
    assert me.num_fds() == descriptors
    assert child_threads() == []
    assert asyncio.all_tasks() == tasks


def child_threads() -> list[str]:
    """The threads that children of pools have here."""
    return [thread.name for thread in threading.enumerate() if "child process" in thread.name]


class Events:
    """Collects the events of a call; `first()` waits for one."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, body: bytes) -> None:
        self.bodies.append(body)

    async def first(self) -> bytes:
        await until(lambda: bool(self.bodies))
        return self.bodies[0]


def nothing(body: bytes) -> None:
    raise AssertionError(f"no event was expected: {body!r}")


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.002)
