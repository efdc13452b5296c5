"""No-op jobs/s of one Celery worker with a backlog: ours with full records, plain Celery without.

The backlog is there before the worker starts, and whoever made it is gone. The rate is that between
the first and the last tenth, so that no start and no end is in it.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import CHILD_LIMIT, ROOT, Bench, Raw, Row, at_least, median, run_child
from tests.celery_worker import CeleryWorker
from tests.redis_server import RedisServer, find_redis

JOBS = 5_000
POOLS = {"prefork": 2, "threads": 10}
SHARE = {"prefork": 0.8, "threads": 0.9}
"""Of plain Celery that ignores results; of Celery with results in PostgreSQL it is 1.2."""

PAUSE = 0.1


def settings_of(url: str, broker: str, pool: str, slots: int) -> dict[str, Any]:
    """Our defaults, but for what says where and how many."""
    return {
        "backend": "celery",
        "database_url": url,
        "migrate": True,
        "task_modules": ["benchmarks.workload"],
        "celery": {"broker_url": broker, "pool": pool, "concurrency": slots},
    }


async def enqueue(settings: dict[str, Any], jobs: int) -> Raw:
    """Store so many jobs; nothing is published yet."""
    from benchmarks.workload import noop_def
    from fastapi_jobs import FastAPIJobs

    async with FastAPIJobs(**settings, dispatch=False) as app:
        await app.enqueue_many([noop_def.s() for _ in range(jobs)])
    return {"jobs": jobs}


def rate_of(count: Callable[[], int], jobs: int) -> float:
    """Ends per second between the first and the last tenth; `count` says how many there are."""
    end = time.monotonic() + CHILD_LIMIT
    began = time.perf_counter()
    moments = []
    for share in (0.1, 0.9):
        while (done := count()) < jobs * share:
            if time.monotonic() > end:
                raise TimeoutError(f"{done} of {jobs} after {CHILD_LIMIT:g} s")
            time.sleep(PAUSE)
        moments.append((time.perf_counter(), done))
    (begun, first), (ended, last) = moments
    if first == last:  # a look of few jobs
        return last / (ended - began)
    return (last - first) / (ended - begun)


@contextmanager
def counter(url: str, query: str) -> Iterator[Callable[[], int]]:
    """What a query of PostgreSQL counts."""
    import psycopg
    from sqlalchemy import make_url

    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:

        def count() -> int:
            row = connection.execute(query.encode()).fetchone()
            return int(row[0]) if row else 0

        yield count


def ours(bench: Bench, pool: str, jobs: int) -> Raw:
    """Our worker."""
    with (
        bench.database("postgresql") as url,
        RedisServer(find_redis()) as redis,
        tempfile.TemporaryDirectory(prefix="fastapi-jobs-bench-") as folder,
    ):
        settings = settings_of(url, redis.url(), pool, POOLS[pool])
        run_child("celery_throughput:enqueue", {"settings": settings, "jobs": jobs})
        done = "SELECT count(*) FROM fastapi_jobs_jobs WHERE status = 'succeeded'"
        with CeleryWorker(Path(folder), settings), counter(url, done) as count:
            return {"rate": rate_of(count, jobs)}


def theirs(bench: Bench, pool: str, jobs: int, *, results: bool) -> Raw:
    """Plain Celery with its defaults."""
    with bench.database("postgresql") as url, RedisServer(find_redis()) as redis:
        environment = os.environ | {"BROKER": redis.url()}
        if results:
            environment["RESULTS"] = f"db+{url}"
        publish = f"from benchmarks.celery_plain import publish; publish({jobs})"
        subprocess.run([sys.executable, "-c", publish], cwd=ROOT, env=environment, check=True)
        with _worker(pool, environment):
            if not results:
                return {"rate": rate_of(lambda: jobs - redis.length("celery"), jobs)}
            _await_table(url)
            with counter(url, "SELECT count(*) FROM celery_taskmeta") as count:
                return {"rate": rate_of(count, jobs)}


@contextmanager
def _worker(pool: str, environment: dict[str, str]) -> Iterator[None]:
    command = [
        *(sys.executable, "-m", "celery", "-A", "benchmarks.celery_plain", "worker"),
        *("--pool", pool, "--concurrency", str(POOLS[pool]), "--loglevel", "ERROR"),
        *("--without-gossip", "--without-mingle"),
    ]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        process.kill()  # its children see that and end
        process.wait()


def _await_table(url: str) -> None:
    with counter(url, "SELECT count(*) FROM pg_tables WHERE tablename = 'celery_taskmeta'") as made:
        end = time.monotonic() + CHILD_LIMIT
        while not made():
            if time.monotonic() > end:
                raise TimeoutError("Celery made no table for its results")
            time.sleep(PAUSE)


def rows(bench: Bench) -> list[Row]:
    """Each pool beside plain Celery without and with results."""
    if bench.postgres is None:
        return []
    jobs, found = bench.size(JOBS), []
    for pool in POOLS:
        variants: dict[str, Callable[[], Raw]] = {
            "ours": partial(ours, bench, pool, jobs),
            "plain": partial(theirs, bench, pool, jobs, results=False),
            "results": partial(theirs, bench, pool, jobs, results=True),
        }
        results = bench.interleave(variants)
        bench.raw |= {f"{name} {pool}": runs for name, runs in results.items()}
        rate = median(results["ours"], "rate")
        name = f"Celery {pool} x {POOLS[pool]}"
        for beside, share, words in (
            ("plain", SHARE[pool], "jobs/s, plain Celery"),
            ("results", 1.2, "jobs/s, its results in PostgreSQL"),
        ):
            found.append(at_least(name, rate, median(results[beside], "rate"), share, words))
    return found
