"""The tasks of the benchmarks, and how our app is opened for them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import until
from fastapi_jobs import FastAPIJobs, task
from fastapi_jobs.store.transaction import Hints


@task
async def noop() -> None:
    """Nothing, durably."""


@task
async def stamp() -> float:
    """When it started, by the clock that all processes of a machine share."""
    return time.perf_counter()


@task
def noop_def() -> None:
    """Nothing, for threads and processes."""


@task
def spin() -> None:
    """Keeps a core busy until it is killed."""
    while True:
        pass


@task
def hangs_first(file: str) -> None:
    """Its first run never ends; the next is quick."""
    path = Path(file)
    if not path.exists():
        path.touch()
        time.sleep(3600)


class Gauge:
    """How many run at a time, and the most there ever were."""

    now = 0
    most = 0


@task(queue="limited")
async def limited() -> None:
    """Measures the limit of its queue."""
    Gauge.now += 1
    Gauge.most = max(Gauge.most, Gauge.now)
    await asyncio.sleep(0)
    Gauge.now -= 1


class Finished:
    """Counts committed ends; as cheap as a listener can be."""

    def __init__(self, jobs: FastAPIJobs) -> None:
        self.count = 0
        jobs.runtime.store.listen(self._heard)

    def _heard(self, hints: Hints) -> None:
        self.count += len(hints.finished)

    async def reach(self, count: int) -> None:
        """Wait until so many jobs are finished."""
        await until(lambda: self.count >= count, pause=0.002)


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[FastAPIJobs]:
    """Our app on an empty or used database, with the defaults but for `settings`."""
    async with FastAPIJobs(database_url=url, migrate=True, **settings) as jobs:
        yield jobs


async def enqueue_all(count: int, enqueuers: int) -> None:
    """Enqueue `count` no-ops from so many concurrent callers, each awaiting its commit."""
    left = count

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await noop.enqueue()

    await asyncio.gather(*(one() for _ in range(enqueuers)))
