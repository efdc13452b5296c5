"""Memory after many jobs, and a restart with a backlog."""

import gc
import os

from benchmarks.harness import Bench, Raw, Row, below, median
from benchmarks.over_http import first_answer

JOBS = 100_000
BACKLOG = 50_000
LIMIT = 20


def _resident_megabytes() -> float:
    import psutil

    gc.collect()
    return float(psutil.Process(os.getpid()).memory_info().rss / 1024 / 1024)


async def growth(url: str, jobs: int) -> Raw:
    """How much RSS grows by `jobs` jobs: half of them queued before they run, half run at once."""
    from benchmarks.workload import Finished, enqueue_all, noop, opened

    async with opened(url) as app:
        finished = Finished(app)
        warm = min(jobs // 2, 1_500)
        await enqueue_all(warm, 100)
        await app.enqueue_many([noop.s() for _ in range(warm)])
        await finished.reach(2 * warm)
        before = _resident_megabytes()
        queued = jobs // 2
        for first in range(0, queued, 1_000):
            await app.enqueue_many([noop.s() for _ in range(min(1_000, queued - first))])
        peak = _resident_megabytes()
        await finished.reach(2 * warm + queued)
        await enqueue_all(jobs - queued, 100)
        await finished.reach(2 * warm + jobs)
        after = _resident_megabytes()
    return {"before_mb": before, "queued_mb": peak, "after_mb": after, "growth_mb": after - before}


async def fill(url: str, jobs: int) -> Raw:
    """Leave a backlog in a limited queue."""
    from benchmarks.workload import limited, opened

    async with opened(url, dispatch=False) as app:
        for first in range(0, jobs, 5_000):
            await app.enqueue_many([limited.s() for _ in range(min(5_000, jobs - first))])
    return {"jobs": jobs}


def rows(bench: Bench) -> list[Row]:
    """Growth, the first answer after a restart, and the limit over the whole backlog."""
    jobs, backlog = bench.size(JOBS), bench.size(BACKLOG)
    with bench.database("sqlite") as url:
        grown = [bench.run("growth", "memory:growth", url=url, jobs=jobs)]
    with bench.database("sqlite") as url:
        bench.run("fill", "memory:fill", url=url, jobs=backlog)
        restart = first_answer(url, LIMIT, backlog)
    bench.raw["restart"] = [restart]
    most = int(restart["most"])
    return [
        below(f"RSS growth, {jobs:,} jobs", median(grown, "growth_mb"), 30, "MB", 1),
        below(f"first answer, {backlog:,} queued", restart["first_answer_s"], 2, "s"),
        Row(
            f"most at a time of {backlog:,}, limit {LIMIT}",
            f"{most}",
            target=f"<= {LIMIT}",
            met=0 < most <= LIMIT,
        ),
    ]
