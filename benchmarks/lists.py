"""Get, list and each filter over a million rows, of which the ten oldest are the rare ones."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.harness import Bench, Raw, Row, percentile

if TYPE_CHECKING:
    from fastapi_jobs import JobFilter
    from fastapi_jobs.store import Store

ROWS = 1_000_000
RARE = 10
SAMPLES = 60
LIMIT_MS = 20.0
TEXT_MS = 300.0
ENDS_MS = 150.0
DAY = timedelta(days=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=2)
COLUMNS = (
    *("id", "task", "queue", "backend", "status", "priority", "args", "result", "attempt"),
    *("failures", "crashes", "suspect", "fence", "created_at", "started_at", "finished_at"),
    *("owner", "tags"),
)


def job_id(number: int, begin: datetime = BEGIN, step: timedelta = STEP) -> UUID:
    """The id of the row of this number, in the order of creation."""
    from fastapi_jobs.clock import first_uuid7

    return UUID(int=first_uuid7(begin + number * step).int + number)


def job_rows(
    count: int, begin: datetime = BEGIN, step: timedelta = STEP
) -> Iterator[tuple[Any, ...]]:
    """All rows: the ten oldest failed, with a task, queue, owner and tag that nobody else has."""
    for number in range(count):
        rare = number < RARE
        created = begin + number * step
        yield (
            job_id(number, begin, step),
            "app.rare" if rare else f"app.task_{number % 5}",
            "rare" if rare else f"queue_{number % 3}",
            "",
            "failed" if rare else "succeeded",
            0,
            '{"number": 1}',
            None if rare else "null",
            *(1, 0, 0, 0, 1),
            *(created, created, created),
            "rare" if rare else f"owner_{number % 100}",
            '["rare"]' if rare else f'["tag_{number % 10}"]',
        )


Rows = Callable[[int], Iterator[tuple[Any, ...]]]


def fill_sqlite(store: "Store", count: int, rows: Rows | None = None) -> None:
    """Straight into the tables, a transaction for each 50,000 rows."""
    database = store.database
    connection = database.writing.connect()
    cursor = connection.connection.cursor()
    marks = ", ".join(["?"] * len(COLUMNS))
    insert = f"INSERT INTO fastapi_jobs_jobs ({', '.join(COLUMNS)}) VALUES ({marks})"
    tag = "INSERT INTO fastapi_jobs_tags (tag, job_id) VALUES (?, ?)"
    batch: list[tuple[Any, ...]] = []

    def write() -> None:
        cursor.execute("BEGIN IMMEDIATE")
        cursor.executemany(insert, batch)
        cursor.executemany(tag, [(each[-1][2:-2], each[0]) for each in batch])
        cursor.execute("COMMIT")
        batch.clear()

    for row in (rows or job_rows)(count):
        times = [database.encode_time(each) for each in row[13:16]]
        batch.append((row[0].hex, *row[1:13], *times, *row[16:]))
        if len(batch) == 50_000:
            write()
    write()
    cursor.close()
    connection.close()


def fill_postgresql(store: "Store", count: int, rows: Rows | None = None) -> None:
    """By COPY; then what autovacuum would do within a minute."""
    import psycopg

    rows = rows or job_rows
    url = store.database.url.render_as_string(hide_password=False).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY fastapi_jobs_jobs ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in rows(count):
                copy.write_row(row)
        with cursor.copy("COPY fastapi_jobs_tags (tag, job_id) FROM STDIN") as copy:
            for row in rows(count):
                copy.write_row((row[-1][2:-2], row[0]))
        cursor.execute("VACUUM ANALYZE fastapi_jobs_jobs")
        cursor.execute("VACUUM ANALYZE fastapi_jobs_tags")


def filters(count: int = ROWS) -> dict[str, "JobFilter"]:
    """Everything a list can be restricted by: common, rare, absent, and in pairs."""
    from fastapi_jobs import JobFilter
    from fastapi_jobs.status import JobStatus

    failed, good = [JobStatus.FAILED], [JobStatus.SUCCEEDED]
    final = [JobStatus.FAILED, JobStatus.CANCELLED]
    middle = BEGIN + count // 2 * STEP
    of_a_minute, of_days = (job_id(count // 2).hex[:digits] for digits in (8, 5))
    nobody = UUID(int=7)
    return {
        "all": JobFilter(),
        "status common": JobFilter(statuses=good),
        "status rare": JobFilter(statuses=failed),
        "status absent": JobFilter(statuses=[JobStatus.QUEUED]),
        "statuses": JobFilter(statuses=final),
        "task common": JobFilter(task="app.task_1"),
        "task rare": JobFilter(task="app.rare"),
        "queue common": JobFilter(queue="queue_1"),
        "queue rare": JobFilter(queue="rare"),
        "tag common": JobFilter(tag="tag_1"),
        "tag rare": JobFilter(tag="rare"),
        "owner common": JobFilter(owner="owner_1"),
        "owner rare": JobFilter(owner="rare"),
        "after": JobFilter(created_after=middle),
        "before": JobFilter(created_before=BEGIN + 20 * STEP),
        "between": JobFilter(created_after=middle, created_before=middle + 100 * STEP),
        "task, status rare": JobFilter(task="app.task_1", statuses=failed),
        "queue, status rare": JobFilter(queue="queue_1", statuses=failed),
        "owner, status rare": JobFilter(owner="owner_1", statuses=failed),
        "tag, status rare": JobFilter(tag="tag_1", statuses=failed),
        "status rare, after": JobFilter(statuses=failed, created_after=middle),
        "status common, before": JobFilter(statuses=good, created_before=middle),
        "task, queue": JobFilter(task="app.task_1", queue="queue_1"),
        "task, queue rare": JobFilter(task="app.task_1", queue="rare"),
        "task rare, queue": JobFilter(task="app.rare", queue="queue_1"),
        "owner, task": JobFilter(owner="owner_1", task="app.task_1"),
        "owner, task rare": JobFilter(owner="owner_1", task="app.rare"),
        "owner rare, task": JobFilter(owner="rare", task="app.task_1"),
        "tag, owner": JobFilter(tag="tag_1", owner="owner_1"),
        "tag, task rare": JobFilter(tag="tag_1", task="app.rare"),
        "owner, status, before": JobFilter(owner="owner_1", statuses=good, created_before=middle),
        "id prefix": JobFilter(id_prefix=of_a_minute),
        "id prefix, short": JobFilter(id_prefix=of_days),
        "id prefix, task rare": JobFilter(id_prefix=of_days, task="app.rare"),
        "worker": JobFilter(worker=nobody),
        "worker, running": JobFilter(worker=nobody, statuses=[JobStatus.RUNNING]),
        "worker, task": JobFilter(worker=nobody, task="app.task_1"),
        "text common": JobFilter(text='"number":'),
        "text absent": JobFilter(text="nowhere"),
        "text absent, task": JobFilter(text="nowhere", task="app.task_1"),
        "text absent, tag": JobFilter(text="nowhere", tag="tag_1"),
        "text absent, status": JobFilter(text="nowhere", statuses=good),
        "text absent, before": JobFilter(text="nowhere", created_before=middle),
        "all of them": JobFilter(
            statuses=good, task="app.task_1", queue="queue_1", owner="owner_1", tag="tag_1",
            created_before=middle,
        ),
    }  # fmt: skip


def cursors(count: int) -> dict[str, str | None]:
    """Where a page starts: nowhere yet, in the middle, beside the rare rows."""
    from fastapi_jobs.store.queries import make_cursor

    places = {"deep": count // 2, "edge": min(RARE, count - 1)}
    return {"first": None} | {name: make_cursor(job_id(row)) for name, row in places.items()}


def measure(url: str, kind: str, count: int, samples: int) -> Raw:
    """Fill, then time every query; p95 of each in ms."""
    from fastapi_jobs import FastAPIJobs
    from fastapi_jobs.store import figures, queries

    with FastAPIJobs(database_url=url, migrate=True) as app:
        store = app.runtime.store
        began = time.perf_counter()
        (fill_sqlite if kind == "sqlite" else fill_postgresql)(store, count)
        filled = time.perf_counter() - began
        found: dict[str, float] = {}
        ids = [job_id(number * 7919 % count) for number in range(samples)]

        def timed(name: str, query: Callable[[int], object]) -> None:
            query(0)
            taken = []
            for number in range(samples):
                begin = time.perf_counter()
                query(number)
                taken.append((time.perf_counter() - begin) * 1e3)
            found[name] = percentile(taken, 95)

        timed("get", lambda number: store.read_sync(queries.get_job, ids[number]))
        since = BEGIN + count * STEP - DAY
        timed("ends", lambda number: store.read_sync(figures.recent_ends, since=since))
        for name, which in filters(count).items():
            for place, cursor in cursors(count).items():
                for newest in (True, False):
                    direction = "newest" if newest else "oldest"
                    timed(
                        f"{name}, {place}, {direction}",
                        lambda number, which=which, cursor=cursor, newest=newest: store.read_sync(  # type: ignore[misc]
                            queries.list_jobs, which, cursor=cursor, newest=newest
                        ),
                    )
    return {"filled_s": filled, "rows": count, "p95_ms": found}


def rows(bench: Bench) -> list[Row]:
    """For each database: get, what ended in a day, the worst of all lists, and of all searches."""
    found = []
    count, samples = bench.size(ROWS), bench.size(SAMPLES, 2)
    for kind in bench.databases:
        with bench.database(kind) as url:
            taken = bench.run(
                kind, "lists:measure", url=url, kind=kind, count=count, samples=samples
            )
        p95: dict[str, float] = taken["p95_ms"]
        searches = {name: value for name, value in p95.items() if name.startswith("text")}
        lists = {name: p95[name] for name in p95.keys() - searches.keys() - {"get", "ends"}}
        found += [
            _row(count, "get", kind, {"get": p95["get"]}, LIMIT_MS),
            _row(count, "ends of a day", kind, {"ends": p95["ends"]}, ENDS_MS),
            _row(count, f"worst of {len(lists)} lists", kind, lists, LIMIT_MS),
            _row(count, f"worst of {len(searches)} searches", kind, searches, TEXT_MS),
        ]
    return found


def _row(count: int, figure: str, kind: str, p95: dict[str, float], limit: float) -> Row:
    worst = max(p95, key=lambda name: p95[name])
    late = sum(value >= limit for value in p95.values())
    which = f" ({worst}); {late} late" if len(p95) > 1 else ""
    return Row(
        f"{count:,} rows, {figure} p95, {kind}",
        f"{p95[worst]:.2f} ms{which}",
        target=f"< {limit:g} ms",
        met=late == 0,
    )
