"""What a list looks at does not grow with the table (law 13): counted, not timed."""

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import event

from benchmarks import lists
from fastapi_jobs.store import queries
from fastapi_jobs.store.queries import list_jobs
from fastapi_jobs.store.store import Store

ROWS = 20_000
SCAN_LIMIT = 100
SQLITE_STEPS = 35_000
POSTGRESQL_ROWS = 3500


@pytest.fixture
def filled(store: Store) -> Store:
    """The benchmark's rows, in a size that a test can wait for."""
    fill = lists.fill_sqlite if store.database.is_sqlite else lists.fill_postgresql
    fill(store, ROWS)
    return store


def test_no_list_looks_at_more_than_its_share(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk that kept to one of two bounds alone would go over half the rows."""
    monkeypatch.setattr(queries, "SCAN_LIMIT", SCAN_LIMIT)
    limit = SQLITE_STEPS if filled.database.is_sqlite else POSTGRESQL_ROWS
    with closing(_steps(filled) if filled.database.is_sqlite else _rows(filled)) as effort:
        next(effort)
        for name, which in lists.filters(ROWS).items():
            for place, cursor in lists.cursors(ROWS).items():
                for newest in (True, False):
                    filled.read_sync(list_jobs, which, cursor=cursor, newest=newest)
                    assert next(effort) < limit, (name, place, newest)


def _steps(store: Store) -> Generator[int, None, None]:
    """The steps of SQLite's machine since the last time."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 100
        return 0

    def watch(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_progress_handler(tick, 100)

    store.database.reading.dispose()
    event.listen(store.database.reading, "connect", watch)
    while True:
        looked, count = count, 0
        yield looked


def _rows(store: Store) -> Generator[int, None, None]:
    """The rows that PostgreSQL's plans passed on or threw away since the last time."""
    count = 0

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        nonlocal count
        if "fastapi_jobs" in statement:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)
            [[plans]] = cursor.fetchall()
            plans = json.loads(plans) if isinstance(plans, str) else plans
            count += _passed(plans[0]["Plan"])

    event.listen(store.database.reading, "before_cursor_execute", explain)
    try:
        while True:
            looked, count = count, 0
            yield looked
    finally:
        event.remove(store.database.reading, "before_cursor_execute", explain)


def _passed(plan: dict[str, Any]) -> int:
    each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    below = sum(_passed(part) for part in plan.get("Plans", ()))
    return int(each * plan["Actual Loops"]) + below
