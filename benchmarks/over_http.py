"""Requests/s of an endpoint that enqueues one durable job, beside BackgroundTasks.

The burst is the same load: an unrelated GET is timed meanwhile, and the loop's longest stall.
"""

import time
from functools import partial

from benchmarks.harness import Bench, Raw, Row, at_least, median, run_child, start_child
from benchmarks.load import ask
from tests.servers import free_port, wait_until

REQUESTS = 10_000
CONNECTIONS = 32
VARIANTS = {"durable": ("/durable", "finished"), "background": ("/background", "ran")}


def _run(bench: Bench, variant: str, requests: int) -> Raw:
    path, counter = VARIANTS[variant]
    port = free_port()
    with (
        bench.database("sqlite") as url,
        start_child("served:serve", {"url": url, "port": port}, core=0),
    ):
        wait_until(lambda: answers(port), limit=180)
        arguments = {
            "port": port, "path": path, "counter": counter,
            "requests": requests, "connections": CONNECTIONS,
        }  # fmt: skip
        result = run_child("load:drive", arguments, core=1)
    bench.raw.setdefault(variant, []).append(result)
    return result


def answers(port: int) -> bool:
    """Whether the server is up."""
    try:
        return bool(ask(port, "/ping")["ok"])
    except OSError:
        return False


def rows(bench: Bench) -> list[Row]:
    """Throughput, the p99 of an unrelated GET, the longest stall."""
    requests = bench.size(REQUESTS)
    results = bench.interleave({name: partial(_run, bench, name, requests) for name in VARIANTS})
    ours, theirs = results["durable"], results["background"]
    ping, their_ping = median(ours, "ping_p99_ms"), median(theirs, "ping_p99_ms")
    names = "requests/s, BackgroundTasks"
    return [
        at_least("HTTP", median(ours, "rate"), median(theirs, "rate"), 0.6, names),
        Row(
            f"burst of {requests:,}: p99 of a GET",
            f"{ping:.1f} ms",
            f"{their_ping:.1f} ms BackgroundTasks",
            f"{ping / their_ping:.2f}",
            "<= 1.5",
            ping / their_ping <= 1.5,
        ),
        Row(
            "burst: longest stall of the loop",
            f"{median(ours, 'stall_ms'):.1f} ms",
            f"{median(theirs, 'stall_ms'):.1f} ms BackgroundTasks",
        ),
    ]


def first_answer(url: str, queue_limit: int, jobs: int) -> Raw:
    """A restart with a backlog: seconds to the first answer, and the most that ever ran at once."""
    port = free_port()
    arguments = {"url": url, "port": port, "queue_limit": queue_limit}
    began = time.perf_counter()
    with start_child("served:serve", arguments):
        wait_until(lambda: answers(port), limit=180)
        seconds = time.perf_counter() - began
        wait_until(lambda: int(ask(port, "/counts")["finished"]) >= jobs, limit=1200)
        drained = time.perf_counter() - began
        most = ask(port, "/counts")["most"]
    return {"first_answer_s": seconds, "drained_s": drained, "most": most, "jobs": jobs}
