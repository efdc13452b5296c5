"""The admin site over HTTP, with a million jobs of the last day."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.harness import Bench, Raw, Row, below, percentile
from benchmarks.lists import DAY, fill_postgresql, fill_sqlite, job_id, job_rows

if TYPE_CHECKING:
    from httpx2 import Client

ROWS = 1_000_000
SAMPLES = 40
TAB_ROWS = 100_000
TAB_EVERY = 5.0
"""Seconds after which an open page asks again."""
LIMITS_MS = {"overview": 300.0, "list": 100.0, "job page": 50.0, "argument search": 300.0}
RSS_MB = 30.0
TAB_PERCENT = 5.0
STATUS = 4


def rows_of_today(begin: datetime, step: timedelta, count: int) -> Iterator[tuple[Any, ...]]:
    """Those of `lists`, of which each fiftieth failed and the newest hundredth is not due yet."""
    for number, row in enumerate(job_rows(count, begin, step)):
        waits = number >= count - count // 100
        status = "scheduled" if waits else "failed" if number % 50 == 0 else row[STATUS]
        yield (*row[:STATUS], status, *row[STATUS + 1 :])


def fill(url: str, kind: str, count: int) -> Raw:
    """So many jobs, made evenly over the last day."""
    from fastapi_jobs import FastAPIJobs

    begin, step = datetime.now(UTC) - DAY, DAY / count
    with FastAPIJobs(database_url=url, migrate=True) as app:
        into = fill_sqlite if kind == "sqlite" else fill_postgresql
        into(app.runtime.store, count, partial(rows_of_today, begin, step))
    return {"rows": count, "begin": begin.isoformat()}


def addresses(count: int, begin: datetime) -> dict[str, dict[str, str]]:
    """What is asked for, by the figure that it belongs to: a name and the address."""
    from fastapi_jobs.store.queries import make_cursor

    step = DAY / count
    middle = job_id(count // 2, begin, step)
    later = f"{begin + count // 2 * step:%Y-%m-%dT%H:%M:%S}"
    filters = {
        "all": "",
        **{each: f"status={each}" for each in ("succeeded", "failed", "queued", "scheduled")},
        "two statuses": "status=failed&status=cancelled",
        "task": "task=app.task_1",
        "task rare": "task=app.rare",
        "task, failed": "task=app.task_1&status=failed",
        "queue": "queue=queue_1",
        "queue rare": "queue=rare",
        "queue, cancelled": "queue=queue_1&status=cancelled",
        "tag": "tag=tag_1",
        "tag rare": "tag=rare",
        "owner": "owner=owner_1",
        "from": f"created_after={later}",
        "before": f"created_before={later}",
        "worker": f"worker={UUID(int=7)}",
        "id": f"q={middle.hex[:8]}&in=id",
        "task, queue, tag": "task=app.task_1&queue=queue_1&tag=tag_1",
    }
    deep = f"before={make_cursor(middle)}"
    searches = {
        "common": "q=number&in=args",
        "absent": "q=nowhere&in=args",
        "absent, task": "q=nowhere&in=args&task=app.task_1",
        "absent, tag": "q=nowhere&in=args&tag=tag_1",
        "absent, failed": "q=nowhere&in=args&status=failed",
    }
    lists = {name: f"/jobs?{query}" for name, query in filters.items()}
    lists |= {f"{name}, deep": f"/jobs?{query}&{deep}" for name, query in filters.items()}
    return {
        "overview": {"1 h": "/overview", "24 h": "/overview?span=24h"},
        "list": lists,
        "argument search": {name: f"/jobs?{query}" for name, query in searches.items()},
    }


def measure(url: str, count: int, begin: str, samples: int) -> Raw:
    """The first overview of a fresh process, then each address; and what exports take."""
    from fastapi_jobs.admin import shared

    # Each look is made anew: nothing is kept for other tabs.
    shared.KEPT_SECONDS = shared.REST = 0
    since = datetime.fromisoformat(begin)
    with opened(url) as client:
        cold = timed(client, "/overview")
        found: dict[str, dict[str, list[float]]] = {
            figure: {
                name: [timed(client, address) for _ in range(samples)]
                for name, address in named.items()
            }
            for figure, named in addresses(count, since).items()
        }
        step = DAY / count
        pages = [f"/jobs/{job_id(n * 7919 % count, since, step)}" for n in range(4 * samples)]
        found["job page"] = {"any": [timed(client, each) for each in pages]}
        grown = {ending: growth(client, ending) for ending in ("csv", "jsonl")}
    p95 = {
        figure: {name: percentile(taken, 95) for name, taken in named.items()}
        for figure, named in found.items()
    }
    return {"cold_ms": cold, "p95_ms": p95, "export": grown}


@contextmanager
def opened(url: str, **settings: Any) -> Iterator["Client"]:
    """The app on a port, to an administrator who has logged in; addresses begin at its prefix."""
    from fastapi import FastAPI
    from httpx2 import Client

    from fastapi_jobs import task
    from tests.admin.serving import make_jobs, serving

    for name in ("rare", *(f"task_{n}" for n in range(5))):
        task(name=f"app.{name}")(_with_number)
    app, jobs = FastAPI(), make_jobs(url, **{"dispatch": False} | settings)
    jobs.init_app(app)
    with serving(app, jobs) as served:
        cookie = served.cookie_of("admin")
        with Client(base_url=f"{served.url}/jobs-admin", timeout=60) as client:
            client.cookies.set(cookie["name"], cookie["value"])
            yield client


def _with_number(number: int) -> None:
    """What the rows say that they ran."""


def timed(client: "Client", address: str) -> float:
    """Milliseconds until the whole page is here.

    Raises:
        RuntimeError: it is not the page that was asked for.
    """
    begin = time.perf_counter()
    answer = client.get(address)
    taken = (time.perf_counter() - begin) * 1e3
    if answer.status_code != 200:
        raise RuntimeError(f"{address} was answered with {answer.status_code}")
    return taken


def growth(client: "Client", ending: str) -> Raw:
    """How much RSS grew at the most while everything was exported."""
    import psutil

    process = psutil.Process()
    before = most = process.memory_info().rss
    size, begin = 0, time.perf_counter()
    with client.stream("GET", f"/jobs/export.{ending}") as answer:
        for number, part in enumerate(answer.iter_raw()):
            size += len(part)
            if number % 50 == 0:
                most = max(most, process.memory_info().rss)
    most = max(most, process.memory_info().rss)
    seconds = time.perf_counter() - begin
    return {"growth_mb": (most - before) / 2**20, "mb": size / 2**20, "seconds": seconds}


def tab(url: str, seconds: float) -> Raw:
    """Processor time, as percent of a core: with nobody there, and with the overview open."""
    with opened(url, dispatch=True) as client:
        timed(client, "/overview")
        alone = _used(seconds, lambda _over: None)
        watched = _used(seconds, partial(_keep_open, client))
    return {"alone": alone, "watched": watched, "percent": watched - alone}


def _keep_open(client: "Client", over: Event) -> None:
    while not over.wait(TAB_EVERY):
        timed(client, "/overview")


def _used(seconds: float, meanwhile: Callable[[Event], None]) -> float:
    over = Event()
    thread = Thread(target=meanwhile, args=(over,))
    used, began = time.process_time(), time.monotonic()
    thread.start()
    time.sleep(seconds)
    over.set()
    thread.join()
    return 100 * (time.process_time() - used) / (time.monotonic() - began)


def rows(bench: Bench) -> list[Row]:
    """For each database: the worst address of each figure, exports, and an open tab."""
    found = []
    count, samples = bench.size(ROWS, 200), bench.size(SAMPLES, 1)
    for kind in bench.databases:
        with bench.database(kind) as url:
            filled = bench.run("fill", "admin_site:fill", url=url, kind=kind, count=count)
            taken = bench.run(
                kind, "admin_site:measure",
                url=url, count=count, begin=filled["begin"], samples=samples,
            )  # fmt: skip
        what = f"admin, {count:,} jobs, {kind}"
        found.append(below(f"{what}: first overview", taken["cold_ms"], 300, "ms", 0))
        for figure, limit in LIMITS_MS.items():
            p95: dict[str, float] = taken["p95_ms"][figure]
            worst = max(p95, key=lambda name: p95[name])
            row = below(f"{what}: {figure} p95", p95[worst], limit, "ms", 0)
            row.ours += f" ({worst})" if len(p95) > 1 else ""
            found.append(row)
        most = max(each["growth_mb"] for each in taken["export"].values())
        found.append(below(f"{what}: RSS growth of an export", most, RSS_MB, "MB", 1))
        found.append(_of_tab(bench, kind))
    return found


def _of_tab(bench: Bench, kind: str) -> Row:
    few = bench.size(TAB_ROWS, 200)
    with bench.database(kind) as url:
        bench.run("fill for a tab", "admin_site:fill", url=url, kind=kind, count=few)
        taken = bench.run(f"tab, {kind}", "admin_site:tab", url=url, seconds=6 * bench.seconds)
    figure = f"admin, {few:,} jobs, {kind}: an open tab"
    return below(figure, taken["percent"], TAB_PERCENT, "% of a core", 1)
