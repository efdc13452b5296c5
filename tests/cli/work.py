"""Tasks that the workers of these tests run."""

import asyncio
import logging
import os
import time
from pathlib import Path

from fastapi_jobs import current_job, task


@task
async def add(a: int, b: int) -> int:
    """The sum."""
    return a + b


@task(queue="mail")
async def send(to: str) -> str:
    """Something for another queue."""
    return to


@task
async def wait_for(folder: str) -> int:
    """Say that it runs, then wait until it may end."""
    (Path(folder) / "started").touch()
    while not (Path(folder) / "go").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return os.getpid()


@task(backend="thread")
def block_for(folder: str) -> int:
    """The same in a thread, which cannot be stopped."""
    (Path(folder) / "started").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return os.getpid()


@task
async def meet(folder: str) -> int:
    """Wait until two processes are in the room."""
    (Path(folder) / str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return os.getpid()


@task
async def fail(text: str) -> None:
    """Say so, then fail."""
    current_job().log("it began", text=text, tries=[1])
    logging.getLogger("work").warning("it fails soon")
    raise ValueError(text)
