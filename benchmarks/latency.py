"""Latency and cost on an idle system."""

import asyncio
import json
import sys
import time

from benchmarks.harness import Bench, Raw, Row, below, median, percentile, start_child

SAMPLES = 200
PAUSE = 0.02
WARM_UP = 10


async def sampled(count: int) -> Raw:
    """One job at a time: enqueue to started, and to `result()`."""
    from benchmarks.workload import stamp

    started, answered = [], []
    for number in range(count + WARM_UP):
        await asyncio.sleep(PAUSE)
        begin = time.perf_counter()
        job = await stamp.enqueue()
        ran_at = await job.result(timeout=30)
        if number >= WARM_UP:  # the first ones compile statements
            answered.append((time.perf_counter() - begin) * 1e3)
            started.append((ran_at - begin) * 1e3)
    return {
        "started_p50_ms": percentile(started, 50),
        "started_p99_ms": percentile(started, 99),
        "result_p50_ms": percentile(answered, 50),
        "result_p99_ms": percentile(answered, 99),
    }


async def same_process(url: str, samples: int) -> Raw:
    """Enqueue and run in this process."""
    from benchmarks.workload import opened

    async with opened(url):
        return await sampled(samples)


async def enqueuer(url: str, samples: int) -> Raw:
    """Enqueue here; somebody else runs."""
    from benchmarks.workload import opened

    async with opened(url, dispatch=False):
        return await sampled(samples)


async def runner(url: str) -> Raw:
    """Run what others enqueue until standard input ends."""
    from benchmarks.workload import opened

    async with opened(url):
        print(json.dumps({"ready": True}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    return {}


async def idle(url: str, seconds: float) -> Raw:
    """The share of a core that a process with nothing to do uses."""
    from benchmarks.workload import opened

    async with opened(url):
        await asyncio.sleep(1.0)
        used = time.process_time()
        await asyncio.sleep(seconds)
        used = time.process_time() - used
    return {"percent": used / seconds * 100}


def rows(bench: Bench) -> list[Row]:
    """Enqueue to started and to result, here and from another process; the cost of being idle."""
    found: list[Row] = []
    samples = bench.size(SAMPLES, 3)
    for kind in bench.databases:
        here, apart, resting = [], [], []
        for number in range(bench.rounds):
            print(f"  {kind} ({number + 1} of {bench.rounds})", file=sys.stderr, flush=True)
            with bench.database(kind) as url:
                here.append(
                    bench.run(f"here {kind}", "latency:same_process", url=url, samples=samples)
                )
            with bench.database(kind) as url, start_child("latency:runner", {"url": url}) as child:
                assert child.stdout is not None
                if not child.stdout.readline():
                    raise RuntimeError("the runner did not start")
                apart.append(
                    bench.run(f"apart {kind}", "latency:enqueuer", url=url, samples=samples)
                )
        with bench.database(kind) as url:
            resting.append(
                bench.run(f"idle {kind}", "latency:idle", url=url, seconds=bench.seconds)
            )
        started, result = median(here, "started_p50_ms"), median(here, "result_p50_ms")
        found += [
            below(f"enqueue to started p50, {kind}", started, 5, "ms"),
            below(f"enqueue to result p50, {kind}", result, 10, "ms"),
            below(
                f"to result p50, other process, {kind}", median(apart, "result_p50_ms"), 50, "ms"
            ),
            below(f"idle process, {kind}", median(resting, "percent"), 1, "% of a core"),
        ]
    return found
