"""Durable no-op jobs, from enqueue to a committed end, by 100 concurrent callers."""

import time
from collections.abc import Callable
from functools import partial

from benchmarks.harness import Bench, Raw, Row, at_least, median
from benchmarks.taskflow import taskflow_run

JOBS = 20_000
ENQUEUERS = 100


async def ours(url: str, durability: str, jobs: int, enqueuers: int) -> Raw:
    """Enqueue and run `jobs` no-ops; answers jobs/s until the last end was committed."""
    from benchmarks.workload import Finished, enqueue_all, opened

    async with opened(url, durability=durability) as app:
        finished = Finished(app)
        await enqueue_all(min(jobs, 500), enqueuers)
        await finished.reach(min(jobs, 500))
        finished.count, commits = 0, app.runtime.store.commits
        start, used = time.perf_counter(), time.process_time()
        await enqueue_all(jobs, enqueuers)
        enqueued = time.perf_counter() - start
        await finished.reach(jobs)
        seconds = time.perf_counter() - start
        used = time.process_time() - used
        commits = app.runtime.store.commits - commits
        page, _ = await app.list(limit=50)
        if any(job.status != "succeeded" for job in page):
            raise AssertionError("a job is not finished")
    return {
        "seconds": seconds,
        "rate": jobs / seconds,
        "enqueued_rate": jobs / enqueued,
        "processor_us_per_job": used / jobs * 1e6,
        "jobs_per_commit": jobs / commits,
    }


def rows(bench: Bench) -> list[Row]:
    """Ours beside the floor of the same database and durability, and beside fastapi-taskflow."""
    jobs = bench.size(JOBS)
    found: list[Row] = []
    for durability in ("normal", "full"):
        variants = _variants(bench, "sqlite", "sqlite_floor", jobs, durability)
        if durability == "full" and bench.peers:
            variants["taskflow"] = partial(taskflow_run, bench, jobs // 4, ENQUEUERS)
        ours, floor, *peers = bench.interleave(variants).values()
        rate = median(ours, "rate")
        name = f"jobs, SQLite {durability}"
        found.append(at_least(name, rate, median(floor, "rate"), 0.25, "jobs/s, raw sqlite3"))
        if peers and all("rate" in run for run in peers[0]):
            theirs = median(peers[0], "rate")
            found.append(at_least(name, rate, theirs, 5, "jobs/s, fastapi-taskflow"))
    if bench.postgres is not None:
        variants = _variants(bench, "postgresql", "postgresql_floor", jobs, "full")
        ours, floor = bench.interleave(variants).values()
        rate, bare = median(ours, "rate"), median(floor, "rate")
        row = at_least("jobs, PostgreSQL", rate, bare, 5 / 14, "jobs/s, raw psycopg")
        row.target = ">= 0.36 (5,000 of 14,000)"
        found.append(row)
    return found


def _variants(
    bench: Bench, kind: str, floor: str, jobs: int, durability: str
) -> dict[str, Callable[[], Raw]]:
    def run(label: str, call: str, **arguments: object) -> Raw:
        with bench.database(kind) as url:
            return bench.run(label, call, url=url, durability=durability, jobs=jobs, **arguments)

    ours, bare = f"ours {kind} {durability}", f"floor {kind} {durability}"
    return {
        ours: partial(run, ours, "throughput:ours", enqueuers=ENQUEUERS),
        bare: partial(run, bare, f"floors:{floor}"),
    }
