"""100,000 jobs behind a slow worker: the broker holds a window of them, and nobody scans them."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, select

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.claiming import claim_rules
from fastapi_jobs.clock import utc_now
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.publishing import PublishAgain, PublishJobs, Windows, held_by_broker
from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.tables import IS_RUNNING, jobs
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place, settings_of
from tests.celery.tasks import slow_letter
from tests.celery_worker import LIMIT
from tests.redis_server import RedisServer

pytestmark = pytest.mark.slow

QUEUED = 100_000
BATCH = 10_000
WINDOW = 20
SECONDS = 0.02
"""How long one of them takes."""


@pytest.fixture
def place(tmp_path: Path, postgres_url: str, own_redis: RedisServer) -> Iterator[Place]:
    """A slow worker's."""
    settings = settings_of(postgres_url, own_redis.url(), "threads")
    settings["celery"] |= {"window": WINDOW}
    with ExitStack() as stack:
        yield Place(tmp_path, stack, settings)


class Sampler:
    """Looks at a queue's lists, over all priorities, as often as it can."""

    def __init__(self, server: RedisServer, queue: str) -> None:
        self.most = self.looks = 0
        self._server, self._queue = server, queue
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        while not self._over.is_set():
            self.most = max(self.most, self._server.length(self._queue))
            self.looks += 1

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


async def enqueue_crowd(app: FastAPIJobs, file: Path) -> None:
    """100,000 of them."""
    for _ in range(0, QUEUED, BATCH):
        await app.enqueue_many([slow_letter.s(str(file), "one", SECONDS)] * BATCH)


async def test_the_broker_holds_a_window(
    place: Place, own_redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "letters"

    def started() -> list[str]:
        return file.read_text().split() if file.exists() else []

    async with place.app() as app:
        with Sampler(own_redis, "fastapi_jobs.letters") as sampler:
            await enqueue_crowd(app, file)
            worker = place.worker()
            await eventually(lambda: len(started()) >= 3 * WINDOW, "three windows to start")
            urgent = await slow_letter.using(priority=100).enqueue(str(file), "urgent", SECONDS)
            before = len(started())
            await urgent.wait(LIMIT)
            assert started().index("urgent") - before <= WINDOW
            await app.runtime.store.write(PauseQueue("letters", utc_now()))
            paused = len(started())

            async def is_quiet() -> bool:
                held = await app.runtime.store.read(held_by_broker)
                running = await app.runtime.store.read(count_running)
                return not held and not running and not own_redis.length("fastapi_jobs.letters")

            await eventually(is_quiet, "the paused queue to be quiet")
            assert len(started()) - paused <= WINDOW
            worker.check()
        assert sampler.looks > 100
        assert WINDOW / 2 <= sampler.most <= 2 * WINDOW


async def test_the_relay_reads_a_window_of_them(place: Place, tmp_path: Path) -> None:
    """No statement of the relay scans or sorts what waits, however stale the statistics are."""
    async with place.app(dispatch=False) as app:
        await enqueue_crowd(app, tmp_path / "letters")
        store, now = app.runtime.store, utc_now()
        rules = claim_rules(app.settings, lambda lane: "celery")
        with explaining(store) as plans:
            for _ in range(2):
                published = await store.write(PublishJobs(rules, Windows(WINDOW), now))
            assert published == []
            again = await store.write(PublishAgain({"letters": 3}, utc_now(), now))
            assert len(again) == 3
            [held] = await store.read(held_by_broker)
            assert held.unclaimed == WINDOW
            await store.read(queries.peek)
    assert len(plans) > 10
    for statement, rows, plan in plans:
        assert rows <= 3 * WINDOW, f"reads {rows} rows:\n{statement}\n{plan}"


def count_running(connection: Connection) -> int:
    """How many jobs run."""
    statement = select(func.count()).select_from(jobs).where(IS_RUNNING)
    return int(connection.execute(statement).scalar_one())


@contextmanager
def explaining(store: Store) -> Iterator[list[tuple[str, int, str]]]:
    """Each statement on the jobs, the most rows that a step of its plan met, and the plan."""
    found: list[tuple[str, int, str]] = []

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "fastapi_jobs_jobs" in statement and statement.startswith("SELECT"):
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            [[[plan]]] = cursor.fetchall()
            found.append((statement, _most_rows(plan["Plan"]), str(plan["Plan"])))

    engines = (store.database.writing, store.database.reading)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


def _most_rows(plan: dict[str, Any]) -> int:
    met = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    below = [_most_rows(each) for each in plan.get("Plans", ())]
    return int(max([met * plan["Actual Loops"], *below]))
