"""What the processes under test run. Each task keeps the ledger of the folder it is given."""

import asyncio
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import Depends

from fastapi_jobs import JobContext, task
from tests.faults.ledger import BEGUN, ENDED, append

FOLDER = Path(os.environ.get("FAULTS_FOLDER", "."))
LOOK_SECONDS = 0.02
GO = "go"
"""The file that lets `wait_for_go` end."""


@task
async def note(seconds: float = 0.0, payload: str = "", ctx: JobContext = Depends()) -> int:
    """Sleep; returns its attempt."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    await asyncio.sleep(seconds)
    append(FOLDER, ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt


@task
async def wait_for_go(ctx: JobContext = Depends()) -> int:
    """Run until the test says go; returns its attempt."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    while not (FOLDER / GO).exists():  # noqa: ASYNC110 (the event is a file)
        await asyncio.sleep(LOOK_SECONDS)
    append(FOLDER, ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt


@task
async def innocent(ctx: JobContext = Depends()) -> int:
    """Long beside others, short when it runs again."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    await asyncio.sleep(60.0 if ctx.attempt == 1 else 0.01)
    return ctx.attempt


@task
async def culprit(ctx: JobContext = Depends()) -> None:
    """Kill this process."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    os.kill(os.getpid(), signal.SIGKILL)


@task
async def sleep_for_ever(ctx: JobContext = Depends()) -> None:
    """Await what never comes."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    await asyncio.sleep(3600)


@task(backend="process")
def be_busy(ctx: JobContext = Depends()) -> None:
    """Use a core and never look up."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    while True:
        pass


@task(backend="thread")
def be_deaf(ctx: JobContext = Depends()) -> str:
    """Heed nobody until the file `go` is there."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    with counted(f"deaf-{ctx.job_id}"):
        while not (FOLDER / "go").exists():
            time.sleep(LOOK_SECONDS)
    return "to the end"


@task(backend="thread")
def never_end(ctx: JobContext = Depends()) -> None:
    """Wait in C for what never comes."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    threading.Event().wait()


@task(backend="thread")
def be_polite(ctx: JobContext = Depends()) -> None:
    """Stop when asked, but not before the file `go` is there."""
    append(FOLDER, BEGUN, ctx.job_id, ctx.attempt)
    with counted(f"polite-{ctx.job_id}"):
        while True:
            time.sleep(LOOK_SECONDS)
            if (FOLDER / "go").exists():
                ctx.raise_if_cancelled()


@task(queue="narrow")
async def in_narrow_queue(seconds: float = 0.0) -> None:
    """Count how many run at once in a queue with a limit."""
    with counted("in_narrow_queue"):
        await asyncio.sleep(seconds)


@task(max_running=3)
async def limited(seconds: float = 0.0) -> None:
    """Count how many run at once of a task with a limit."""
    with counted("limited"):
        await asyncio.sleep(seconds)


@contextmanager
def counted(name: str) -> Iterator[None]:
    """Be one of those that are inside at this moment, over all processes."""
    _count(name, 1)
    try:
        yield
    finally:
        _count(name, -1)


def _count(name: str, change: int) -> None:
    file = os.open(FOLDER / f"count-{name}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        inside, most, all_ = map(int, (os.read(file, 100) or b"0 0 0").split())
        inside += change
        text = f"{inside} {max(inside, most)} {all_ + max(change, 0)}".ljust(60)
        os.pwrite(file, text.encode(), 0)
    finally:
        os.close(file)


def counts(folder: Path, name: str) -> tuple[int, int, int]:
    """How many are inside now, were inside at most, and went inside in all."""
    inside, most, all_ = map(int, (folder / f"count-{name}").read_text().split())
    return inside, most, all_
