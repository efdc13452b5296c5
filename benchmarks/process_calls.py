"""The process backend: what a call costs, and how soon a cancelled child is dead."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Bench, Raw, Row, below, median, percentile, until

if TYPE_CHECKING:
    from fastapi_jobs.backends.process import ProcessBackend
    from fastapi_jobs.runner import Call

CALLS = 2_000
CANCELS = 20


@asynccontextmanager
async def _backend(
    url: str,
) -> AsyncIterator[tuple["ProcessBackend", Callable[[Any], "Call"]]]:
    from fastapi_jobs import FastAPIJobs
    from fastapi_jobs.attempts import Attempts
    from fastapi_jobs.backends.make import make_backends
    from fastapi_jobs.backends.process import ProcessBackend
    from fastapi_jobs.clock import utc_now, uuid7
    from fastapi_jobs.store.rows import NewJob, claimed_at_insert

    app = FastAPIJobs(database_url=url, process={"max_workers": 1})
    attempts = Attempts(app.runtime.store, app.settings, app.runtime.observers)
    backend = make_backends(app.settings, ["process"])["process"]
    assert isinstance(backend, ProcessBackend)

    def call_of(task: Any) -> "Call":
        job = NewJob(uuid7(), task.name, "default", "{}", utc_now())
        return attempts.call_of(claimed_at_insert(job, "process"), task.definition)

    await backend.start()
    try:
        yield backend, call_of
    finally:
        await backend.stop()


async def overhead(url: str, calls: int) -> Raw:
    """Seconds that `submit` of a no-op takes, one after the other."""
    from benchmarks.workload import noop_def

    async with _backend(url) as (backend, call_of):
        for _ in range(50):
            report = await backend.submit(call_of(noop_def))
            assert report.outcome == "succeeded", report
        taken = []
        for _ in range(calls):
            call = call_of(noop_def)
            begin = time.perf_counter()
            await backend.submit(call)
            taken.append((time.perf_counter() - begin) * 1e3)
    return {"p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


async def cancelled(url: str, cancels: int) -> Raw:
    """Milliseconds from `cancel` until the busy child is gone."""
    from benchmarks.workload import noop_def, spin

    taken = []
    async with _backend(url) as (backend, call_of):
        for _ in range(cancels):
            call = call_of(spin)
            # A call that is cancelled before its child has started leaves the child alive.
            await backend.submit(call_of(noop_def))
            [pid] = backend.pids
            running = asyncio.create_task(backend.submit(call))
            await until(partial(_burns, pid, _burnt(pid)))
            begin = time.perf_counter()
            backend.cancel(call)
            await until(partial(_is_dead, pid), pause=0.0005)
            taken.append((time.perf_counter() - begin) * 1e3)
            await running
    return {"p50_ms": percentile(taken, 50), "p99_ms": percentile(taken, 99)}


def _burnt(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).cpu_times().user)


def _burns(pid: int, before: float) -> bool:
    return _burnt(pid) > before + 0.03


def _is_dead(pid: int) -> bool:
    import psutil

    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return True


def rows(bench: Bench) -> list[Row]:
    """Overhead a call, cancel to dead child."""
    calls, cancels = bench.size(CALLS), bench.size(CANCELS, 2)
    costs, deaths = [], []
    for _ in range(bench.rounds):
        with bench.database("sqlite") as url:
            costs.append(bench.run("overhead", "process_calls:overhead", url=url, calls=calls))
    with bench.database("sqlite") as url:
        deaths.append(bench.run("cancel", "process_calls:cancelled", url=url, cancels=cancels))
    return [
        below("process backend, a call p50", median(costs, "p50_ms"), 0.2, "ms", 3),
        below("process backend, cancel to dead p99", median(deaths, "p99_ms"), 100, "ms", 1),
    ]
