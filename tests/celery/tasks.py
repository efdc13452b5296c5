"""What the Celery workers of these tests run."""

import asyncio
import os
import time
from pathlib import Path

from fastapi import Depends

from fastapi_jobs import JobContext, task
from fastapi_jobs.testing.conformance.gate import come_to, is_open, note


@task
def add(a: int, b: int) -> int:
    """A quick one."""
    return a + b


@task
def wait_for(gate: str) -> int:
    """Runs until the gate opens; says in which process."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()


@task
async def wait_for_async(gate: str) -> int:
    """The same on the worker's event loop."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:  # noqa: ASYNC110 (the event is a file)
        await asyncio.sleep(0.01)
    return os.getpid()


@task
def count(file: str, seconds: float = 0.0) -> None:
    """Notes each run of it."""
    time.sleep(seconds)
    note(file, "ran")


@task(queue="letters")
def letter(file: str, name: str) -> None:
    """Notes its name, in a queue of its own."""
    note(file, name)


@task(queue="letters")
async def slow_letter(file: str, name: str, seconds: float) -> None:
    """The same, and keeps its slot for a while."""
    note(file, name)
    await asyncio.sleep(seconds)


@task
def enqueues(ctx: JobContext = Depends()) -> str:
    """Enqueues another one from inside a worker."""
    return str(add.using(metadata={"of": str(ctx.job_id)}).enqueue_sync(1, 2).id)


def runs(file: Path) -> int:
    """How many runs `count` noted."""
    return len(file.read_text().split()) if file.exists() else 0
