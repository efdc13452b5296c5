"""What a list looks at does not grow with the table (law 13): counted, not timed."""

import re
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event

from benchmarks import lists
from fastapi_jobs import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.queries import list_jobs
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.walks import LEADS

ROWS = 20_000
SCAN_LIMIT = 100
"""So many are looked at where no index finds what is asked for, a text too."""
SQLITE_STEPS = 35_000
POSTGRESQL_ROWS = 3500
PLACE = re.compile(r"%\((\w+)\)s")


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
    _look_at_few(monkeypatch)
    limit = SQLITE_STEPS if filled.database.is_sqlite else POSTGRESQL_ROWS
    with closing(_steps(filled) if filled.database.is_sqlite else _rows(filled)) as effort:
        next(effort)
        for name, which in lists.filters(ROWS).items():
            for place, cursor in lists.cursors(ROWS).items():
                for newest in (True, False):
                    filled.read_sync(list_jobs, which, cursor=cursor, newest=newest)
                    assert next(effort) < limit, (name, place, newest)


def _look_at_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCAN_LIMIT", "TEXT_WINDOW"):
        monkeypatch.setattr(queries, name, SCAN_LIMIT)


@pytest.fixture
def changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The benchmark's rows, but for a change in the middle: nothing before is as all after."""
    monkeypatch.setattr(lists, "job_rows", _two_ages)
    fill = lists.fill_sqlite if store.database.is_sqlite else lists.fill_postgresql
    fill(store, ROWS)
    return store


def _two_ages(count: int) -> Iterator[tuple[Any, ...]]:
    age = dict(zip(lists.COLUMNS, range(len(lists.COLUMNS)), strict=True))
    for number, row in enumerate(_job_rows(count)):
        name, each = "old" if number < count // 2 else "new", list(row)
        for column in ("task", "queue", "owner"):
            each[age[column]] = name
        each[age["tags"]] = f'["{name}"]'
        yield tuple(each)


_job_rows = lists.job_rows


def test_no_list_goes_over_another_age(changed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each condition allows half of the rows, none at all, or all but on the far side."""
    _look_at_few(monkeypatch)
    limit = SQLITE_STEPS if changed.database.is_sqlite else POSTGRESQL_ROWS
    with closing(_steps(changed) if changed.database.is_sqlite else _rows(changed)) as effort:
        next(effort)
        for which in _of_two_ages():
            for place, cursor in lists.cursors(ROWS).items():
                for newest in (True, False):
                    changed.read_sync(list_jobs, which, cursor=cursor, newest=newest)
                    assert next(effort) < limit, (which, place, newest)


def _of_two_ages() -> Iterator[JobFilter]:
    middle = lists.BEGIN + ROWS // 2 * lists.STEP
    ages = ("old", "new", "never")
    for lead, age in product(LEADS, ages):
        named: dict[str, Any] = {lead: age}
        one = JobFilter(**named)
        yield from (one, replace(one, created_after=middle), replace(one, created_before=middle))
        yield replace(one, statuses=[JobStatus.SUCCEEDED])
        yield replace(one, statuses=[JobStatus.FAILED])
        for other, another in product(LEADS[LEADS.index(lead) + 1 :], ages):
            two = JobFilter(**named | {other: another})
            yield from (two, replace(two, created_after=middle))


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
    """The rows that PostgreSQL's plans passed on or threw away since the last time.

    Of each statement two plans are counted: one for its values, and the one for any values that
    the server keeps once it has seen the statement a few times. The worse one counts.
    """
    count = 0

    def explain(_c: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        nonlocal count
        if "fastapi_jobs" in statement:
            plans = _plans(cursor.connection, statement, parameters)
            count += max(_passed(plan) for plan in plans)

    event.listen(store.database.reading, "before_cursor_execute", explain)
    try:
        while True:
            looked, count = count, 0
            yield looked
    finally:
        event.remove(store.database.reading, "before_cursor_execute", explain)


def _plans(connection: Any, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    import psycopg

    places = {name: f"${number}" for number, name in enumerate(parameters, 1)}
    values = f"({', '.join(['%s'] * len(places))})" if places else ""
    found = []
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(f"PREPARE asked AS {re.sub(PLACE, lambda it: places[it[1]], statement)}")
        for kind in ("force_custom_plan", "force_generic_plan"):
            cursor.execute(f"SET plan_cache_mode = {kind}")
            explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked{values}"
            cursor.execute(explain, list(parameters.values()))
            found.append(cursor.fetchall()[0][0][0]["Plan"])
        cursor.execute("RESET plan_cache_mode; DEALLOCATE asked")
    return found


def _passed(plan: dict[str, Any]) -> int:
    each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    below = sum(_passed(part) for part in plan.get("Plans", ()))
    return int(each * plan["Actual Loops"]) + below
