"""What Celery's jobs take beside their work: publishing, a broker that is away, waiting, dying."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.celery_throughput import POOLS, settings_of
from benchmarks.harness import Bench, Raw, Row, below, median, run_child, start_child, until
from benchmarks.over_http import answers
from tests.celery_worker import CeleryWorker
from tests.redis_server import RedisServer, find_redis
from tests.servers import free_port, wait_until

PUBLISHED = 10_000
REQUESTS = 5_000
CONNECTIONS = 32
SAMPLES = 200
LEASE_SECONDS = 6.0
VICTIMS = 2


@contextmanager
def place(bench: Bench, pool: str = "prefork", slots: int = 2) -> Iterator[tuple[Any, RedisServer]]:
    """Settings on an empty PostgreSQL database and a Redis of its own."""
    with bench.database("postgresql") as url, RedisServer(find_redis()) as redis:
        yield settings_of(url, redis.url(), pool, slots), redis


@contextmanager
def worker(settings: dict[str, Any]) -> Iterator[CeleryWorker]:
    """A Celery worker of ours."""
    with (
        tempfile.TemporaryDirectory(prefix="fastapi-jobs-bench-") as folder,
        CeleryWorker(Path(folder), settings) as running,
    ):
        yield running


async def publish(settings: dict[str, Any], jobs: int) -> Raw:
    """From the start of a process with a relay until the broker holds the whole backlog."""
    from fastapi_jobs import FastAPIJobs
    from fastapi_jobs.backends.celery_broker import CeleryBroker

    began = time.perf_counter()
    async with FastAPIJobs(**settings) as app:
        broker = CeleryBroker(app.settings)
        while (await broker.held(["default"]))["default"] < jobs:  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - began
        await broker.close()
    return {"rate": jobs / seconds, "seconds": seconds}


def _publish(bench: Bench, jobs: int) -> Raw:
    with place(bench) as (settings, _):
        settings["celery"]["window"] = jobs
        run_child("celery_throughput:enqueue", {"settings": settings, "jobs": jobs})
        return bench.run("publish", "celery_times:publish", settings=settings, jobs=jobs)


def _post(bench: Bench, requests: int, *, up: bool) -> Raw:
    port = free_port()
    with place(bench) as (settings, redis):
        if not up:
            redis.stop()
        arguments = {"settings": settings, "port": port}
        with start_child("served:serve_with", arguments):
            wait_until(lambda: answers(port), limit=180)
            load = {
                "port": port, "path": "/durable",
                "requests": requests, "connections": CONNECTIONS,
            }  # fmt: skip
            return bench.run(f"broker {'up' if up else 'down'}", "load:post", **load)


async def wait(settings: dict[str, Any], samples: int) -> Raw:
    """Latency of one job at a time; a worker runs them."""
    from benchmarks.latency import sampled
    from fastapi_jobs import FastAPIJobs

    async with FastAPIJobs(**settings):
        return await sampled(samples)


def _wait(bench: Bench, pool: str, samples: int) -> Raw:
    with place(bench, pool, POOLS[pool]) as (settings, _), worker(settings):
        return bench.run(pool, "celery_times:wait", settings=settings, samples=samples)


async def outlive(settings: dict[str, Any], folder: str) -> Raw:
    """Kill a worker amid its jobs; seconds until another has finished the last of them."""
    from benchmarks.workload import hangs_first
    from fastapi_jobs import FastAPIJobs

    files = [Path(folder) / str(number) for number in range(VICTIMS)]
    async with FastAPIJobs(**settings):
        with worker(settings) as victim:
            jobs = [await hangs_first.enqueue(str(file)) for file in files]
            await until(lambda: all(file.exists() for file in files))
            with worker(settings):
                began = time.perf_counter()
                victim.kill()
                for job in jobs:
                    await job.result(300)
                return {"seconds": time.perf_counter() - began}


def _outlive(bench: Bench) -> Raw:
    with (
        place(bench) as (settings, _),
        tempfile.TemporaryDirectory(prefix="fastapi-jobs-bench-") as folder,
    ):
        settings |= {"lease_seconds": LEASE_SECONDS, "heartbeat_seconds": LEASE_SECONDS / 4}
        return bench.run("kill", "celery_times:outlive", settings=settings, folder=folder)


def rows(bench: Bench) -> list[Row]:
    """The relay's rate, HTTP without a broker, idle latency, recovery."""
    if bench.postgres is None:
        return []
    jobs, requests = bench.size(PUBLISHED), bench.size(REQUESTS)
    published = bench.interleave({"publish": partial(_publish, bench, jobs)})["publish"]
    posted = bench.interleave(
        {
            "up": partial(_post, bench, requests, up=True),
            "down": partial(_post, bench, requests, up=False),
        }
    )
    waited = bench.interleave(
        {pool: partial(_wait, bench, pool, bench.size(SAMPLES, 3)) for pool in POOLS}
    )
    outlived = bench.interleave({"kill -9": partial(_outlive, bench)})["kill -9"]
    rate, up, down = (
        median(published, "rate"), median(posted["up"], "rate"), median(posted["down"], "rate")
    )  # fmt: skip
    return [
        Row(
            "Celery: published by the relay",
            f"{rate:,.0f} jobs/s",
            "",
            "",
            ">= 4,000",
            rate >= 4000,
        ),
        Row(
            "Celery: POST with the broker down",
            f"{down:,.0f} requests/s, p99 {median(posted['down'], 'p99_ms'):.0f} ms",
            f"{up:,.0f}, p99 {median(posted['up'], 'p99_ms'):.0f} ms, with it up",
            f"{down / up:.2f}",
            ">= 0.9",
            down / up >= 0.9,
        ),
        *(
            below(f"Celery {pool}: enqueue to result p50", median(runs, "result_p50_ms"), 20, "ms")
            for pool, runs in waited.items()
        ),
        below(
            f"Celery: recovery after kill -9, a lease of {LEASE_SECONDS:g} s",
            median(outlived, "seconds"),
            LEASE_SECONDS + 5,
            "s",
        ),
    ]
