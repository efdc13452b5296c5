"""What `bench` measures, in a store of its own that nobody else uses."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from fastapi_jobs.app import FastAPIJobs
from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.conf import Settings, load
from fastapi_jobs.conf.rules import cores
from fastapi_jobs.registry import registry
from fastapi_jobs.store import Store
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.rows import NewJob
from fastapi_jobs.store.transaction import Hints
from fastapi_jobs.tasks import Task, task

CALLERS = 100
LEAST = 20
WARM = 50
NAME = "fastapi_jobs.bench"
SHARES = {"full": 0.2, "normal": 0.2, "start": 0.2, "throughput": 0.4}
"""How the time is divided."""

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds: the middle one, and what one in a hundred exceeds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one machine and database."""

    commit_full: Latency
    commit_normal: Latency
    start: Latency
    jobs_per_second: float
    cores: float
    """Processors this process may use; less than one is possible in a container."""


def latency(seconds: list[float]) -> Latency:
    """Of at least two measurements."""
    steps = quantiles(seconds, n=100, method="inclusive")
    return Latency(steps[49] * 1000, steps[98] * 1000)


def measure(settings: Settings, url: str, seconds: float, advance: Advance) -> Measured:
    """Measure for about so many seconds; `advance` gets the seconds that went by."""
    commits = {}
    for durability in ("normal", "full"):
        store = Store(url, durability=durability, auto_migrate=True)
        store.open()
        try:
            commits[durability] = latency(_commits(store, seconds * SHARES[durability], advance))
        finally:
            store.close()
    with _bench_task() as (noop, started):
        jobs = FastAPIJobs(_settings_for(settings, url))
        starts, rate = asyncio.run(_run(jobs, noop, started, seconds, advance))
    return Measured(commits["full"], commits["normal"], latency(starts), rate, usable_cores())


def _settings_for(settings: Settings, url: str) -> Settings:
    # The slots are the host's; its tasks, observers and queues stay out of it.
    return load(
        settings,
        database_url=url,
        backend="asyncio",
        migrate=True,
        task_modules=[],
        observers=[],
        queues={},
        routes={},
        max_queued=0,
        log_lifecycle=False,
        name=NAME,
    )


def _commits(store: Store, seconds: float, advance: Advance) -> list[float]:
    """How long each of one commit after the other takes. The jobs are due long after the end."""
    found: list[float] = []
    later = utc_now().replace(year=utc_now().year + 1, day=1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < LEAST:
        job = NewJob(
            id=uuid7(), task=NAME, queue="bench", args="{}", created_at=utc_now(), run_after=later
        )
        begin = time.perf_counter()
        store.write_sync(InsertJobs([job]))
        found.append(time.perf_counter() - begin)
        advance(found[-1])
    return found[1:]  # the first one opens the connection


@contextmanager
def _bench_task() -> Iterator[tuple[Task[[], None, Awaitable[None]], "Started"]]:
    started = Started()

    async def noop() -> None:
        started.at = time.perf_counter()
        started.event.set()

    try:
        yield task(name=NAME)(noop), started
    finally:
        registry.remove(NAME)


class Started:
    """When the last no-op started."""

    def __init__(self) -> None:
        self.at = 0.0
        self.event = asyncio.Event()


async def _run(
    jobs: FastAPIJobs,
    noop: Task[[], None, Awaitable[None]],
    started: Started,
    seconds: float,
    advance: Advance,
) -> tuple[list[float], float]:
    async with jobs:
        starts = await _starts(noop, started, seconds * SHARES["start"], advance)
        finished = _Finished(jobs)
        rate = await _throughput(noop, finished, WARM, 0.0, lambda _: None)
        count = max(WARM, int(rate * seconds * SHARES["throughput"]))
        return starts, await _throughput(noop, finished, count, rate, advance)


async def _starts(
    noop: Task[[], None, Awaitable[None]], started: Started, seconds: float, advance: Advance
) -> list[float]:
    """From the call of enqueue to the first line of the task, with every slot free."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < LEAST:
        started.event.clear()
        begin = time.perf_counter()
        await noop.enqueue()
        await started.event.wait()
        found.append(started.at - begin)
        advance(time.perf_counter() - begin)
    return found[1:]


class _Finished:
    """Counts committed ends."""

    def __init__(self, jobs: FastAPIJobs) -> None:
        self.count = 0
        jobs.runtime.store.listen(self._heard)

    def _heard(self, hints: Hints) -> None:
        self.count += len(hints.finished)


async def _throughput(
    noop: Task[[], None, Awaitable[None]],
    finished: _Finished,
    count: int,
    expected: float,
    advance: Advance,
) -> float:
    """Jobs a second from the first enqueue to the last committed end, by CALLERS callers."""
    left, goal = count, finished.count + count

    async def enqueue_some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await noop.enqueue()
            if expected:
                advance(1 / expected)

    begin = time.perf_counter()
    await asyncio.gather(*(enqueue_some() for _ in range(min(CALLERS, count))))
    while finished.count < goal:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return count / (time.perf_counter() - begin)


def usable_cores(quota: Path = CPU_QUOTA) -> float:
    """The cores of this process, or the smaller quota of its container."""
    here = float(cores())
    try:
        limit, period = quota.read_text().split()
        return here if limit == "max" else min(here, int(limit) / int(period))
    except (OSError, ValueError):
        return here
