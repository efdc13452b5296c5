"""`async def` jobs that mostly wait, on one Celery worker of the pool `threads`."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Raw, Row, below, median

JOBS = 400
SLOTS = 100
SECONDS = 0.5
TARGET_SECONDS = 3.5


async def drive(jobs: int, seconds: float, settings: dict[str, Any]) -> Raw:
    """Seconds from before the jobs are enqueued until the last one's end, and the most at once."""
    from benchmarks.workload import nap
    from fastapi_jobs import FastAPIJobs
    from fastapi_jobs.clock import utc_now
    from fastapi_jobs.store import queries

    async with FastAPIJobs(**settings) as app:
        await (await nap.enqueue(0.0)).wait()
        started = utc_now()
        enqueued = await app.enqueue_many([nap.s(seconds)] * jobs)
        committed = utc_now()
        ends = [await job.wait() for job in enqueued]
        runs = [
            (run.started_at, run.finished_at)
            for job in enqueued
            for run in await app.runtime.store.read(queries.get_attempts, job.id)
        ]
    last = max(job.finished_at or utc_now() for job in ends)
    moments = sorted([(begun, 1) for begun, _ in runs] + [(end or last, -1) for _, end in runs])
    at_once = most = 0
    for _, change in moments:
        at_once += change
        most = max(most, at_once)
    return {
        "seconds": (last - started).total_seconds(),
        "enqueue_seconds": (committed - started).total_seconds(),
        "first_start_seconds": (min(begun for begun, _ in runs) - started).total_seconds(),
        "most_at_once": most,
    }


def _run(bench: Bench, kind: str, jobs: int) -> Raw:
    from tests.celery_worker import CeleryWorker
    from tests.redis_server import RedisServer, find_redis

    with (
        bench.database(kind) as url,
        RedisServer(find_redis()) as broker,
        tempfile.TemporaryDirectory(prefix="fastapi-jobs-bench-") as folder,
    ):
        settings = {
            "backend": "celery",
            "database_url": url,
            "migrate": True,
            "task_modules": ["benchmarks.workload"],
            "celery": {"broker_url": broker.url(), "pool": "threads", "concurrency": SLOTS},
        }
        with CeleryWorker(Path(folder), settings):
            arguments = {"jobs": jobs, "seconds": SECONDS, "settings": settings}
            return bench.run(kind, "celery_concurrency:drive", **arguments)


def rows(bench: Bench) -> list[Row]:
    """The time of 400 jobs of half a second with 100 slots, on each database."""
    jobs = bench.size(JOBS)
    results = bench.interleave({kind: partial(_run, bench, kind, jobs) for kind in bench.databases})
    return [
        below(
            f"{jobs} async jobs of {SECONDS:g} s, {SLOTS} slots of Celery's threads, {kind}",
            median(runs, "seconds"),
            TARGET_SECONDS,
            "s",
        )
        for kind, runs in results.items()
    ]
