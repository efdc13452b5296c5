"""Lists, cursors, counts: right, and along an index (law 13)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from fastapi_jobs import JobFilter
from fastapi_jobs.clock import first_uuid7, utc_now
from fastapi_jobs.errors import InvalidCursor
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.queries import count_jobs, list_jobs
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    analyze,
    claim,
    failure_of,
    finish_of,
    insert,
    job_of,
    later,
    new_job,
    queued,
    register,
)

S = JobStatus
DAY = timedelta(days=1)


def at(minutes: float) -> datetime:
    """A time for ids."""
    return NOW + timedelta(minutes=minutes)


@pytest.fixture
def many(store: Store) -> list[UUID]:
    """Sixty jobs, one a minute, of mixed kinds; the ids in their order."""
    jobs = []
    for number in range(60):
        job = new_job(
            task=f"t{number % 3}",
            queue=f"q{number % 2}",
            owner=f"o{number % 5}" if number % 5 else None,
            tags=("even",) if number % 2 == 0 else ("odd", "all"),
            at=at(number),
        )
        job.id = UUID(int=first_uuid7(at(number)).int + number)
        jobs.append(job)
    insert(store, *jobs)
    for job in jobs[:10]:
        store.write_sync(RequestCancel(job.id, NOW))
    worker = register(store)
    for claimed in claim(store, worker, 6):
        store.write_sync(finish_of(claimed, result='"long"'))
    for claimed in claim(store, worker, 4):
        store.write_sync(failure_of(claimed))
    return [job.id for job in jobs]


FILTERS: list[tuple[JobFilter, Any]] = [
    (JobFilter(), lambda n: True),
    (JobFilter(statuses=[S.CANCELLED]), lambda n: n < 10),
    (JobFilter(statuses=[S.CANCELLED, S.SUCCEEDED]), lambda n: n < 16),
    (JobFilter(task="t1"), lambda n: n % 3 == 1),
    (JobFilter(queue="q1"), lambda n: n % 2 == 1),
    (JobFilter(owner="o3"), lambda n: n % 5 == 3),
    (JobFilter(tag="even"), lambda n: n % 2 == 0),
    (JobFilter(created_after=at(50)), lambda n: n >= 50),
    (JobFilter(created_before=at(5)), lambda n: n < 5),
    (JobFilter(created_after=at(5), created_before=at(9)), lambda n: 5 <= n < 9),
    (JobFilter(task="t1", queue="q1"), lambda n: n % 6 == 1),
    (JobFilter(task="t1", owner="o3", queue="q1"), lambda n: n % 30 == 13),
    (JobFilter(tag="odd", statuses=[S.FAILED]), lambda n: n % 2 and 16 <= n < 20),
    (JobFilter(tag="all", task="t0", owner="o1"), lambda n: n % 2 and not n % 3 and n % 5 == 1),
    (JobFilter(tag="nothing"), lambda n: False),
    (JobFilter(owner="nobody", statuses=[S.RUNNING]), lambda n: False),
]


@pytest.mark.parametrize("newest", [True, False], ids=["newest", "oldest"])
def test_every_filter_page_by_page(store: Store, many: list[UUID], newest: bool) -> None:
    for which, wanted in FILTERS:
        expected = [job_id for n, job_id in enumerate(many) if wanted(n)]
        if newest:
            expected.reverse()
        for limit in (1, 7, 60):
            assert _walk(store, which, limit, newest) == expected, which


def _walk(store: Store, which: JobFilter, limit: int, newest: bool) -> list[UUID]:
    found: list[UUID] = []
    cursor = None
    while True:
        page = store.read_sync(list_jobs, which, limit=limit, cursor=cursor, newest=newest)
        assert len(page.items) <= limit
        found.extend(item.id for item in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_counts_of_every_filter(store: Store, many: list[UUID]) -> None:
    for which, wanted in FILTERS:
        if which.statuses:
            continue
        counts = store.read_sync(count_jobs, which)
        assert counts[S.CANCELLED] == sum(bool(wanted(n)) for n in range(10)), which
        assert counts[S.QUEUED] == sum(bool(wanted(n)) for n in range(20, 60)), which


def test_counts_stop_at_their_cap(store: Store) -> None:
    queued(store, 30)
    assert store.read_sync(count_jobs, JobFilter(), cap=20)[S.QUEUED] == 20


def test_a_count_of_all_says_whether_it_stopped(store: Store) -> None:
    ids = queued(store, 30)
    _of(store, 3, queue="rare")
    count = queries.count_all
    assert store.read_sync(count, JobFilter(), cap=33) == (33, True)
    assert store.read_sync(count, JobFilter(), cap=32) == (32, False)
    assert store.read_sync(count, JobFilter([S.QUEUED, S.FAILED]), cap=40) == (33, True)
    assert store.read_sync(count, JobFilter(), queries.make_cursor(ids[9]), cap=40) == (23, True)
    # The jobs of one task are asked for their queue: of the first 20, none is in this one.
    which = JobFilter(task=new_job().task, queue="rare")
    assert store.read_sync(count, which, cap=20) == (0, False)
    assert store.read_sync(count, which, cap=40) == (3, True)


def test_some_jobs_by_their_ids(store: Store) -> None:
    ids = queued(store, 3)
    found = store.read_sync(queries.get_jobs, [ids[2], ids[0], UUID(int=5)])
    assert [each.id for each in found] == [ids[0], ids[2]]


def test_a_page_behind_the_last_one_is_empty(store: Store) -> None:
    [job_id] = queued(store)
    page = store.read_sync(list_jobs, JobFilter(), cursor=queries.make_cursor(job_id))
    assert (list(page.items), page.next_cursor) == ([], None)


def test_new_jobs_do_not_shift_the_pages(store: Store) -> None:
    ids = queued(store, 4)
    first = store.read_sync(list_jobs, JobFilter(), limit=2)
    queued(store, 3)
    second = store.read_sync(list_jobs, JobFilter(), limit=2, cursor=first.next_cursor)
    assert [item.id for item in (*first.items, *second.items)] == ids[::-1]


@pytest.mark.parametrize("cursor", ["", "x", "é" * 22, "!" * 22, "A" * 23, "A" * 21 + "\n", "null"])
def test_cursors_that_are_not_ours(sqlite_store: Store, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        sqlite_store.read_sync(list_jobs, JobFilter(), cursor=cursor)
    assert str(caught.value).startswith(f"The cursor {cursor!r} is not one of ours. Take next_c")


def test_lists_leave_out_what_is_large(store: Store) -> None:
    queued(store)
    [claimed] = claim(store, register(store))
    end = failure_of(claimed)
    end.finish.error, end.finish.result = "e" * 10_000, '"r"'
    store.write_sync(end)
    [item] = store.read_sync(list_jobs, JobFilter()).items
    assert (item.args, item.result, len(item.error or "")) == ("{}", None, 500)
    assert len(job_of(store, claimed.id).error or "") == 10_000


def test_one_page_looks_at_a_bounded_number_of_rows(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two conditions share no index a page may be short, but the walk goes on."""
    monkeypatch.setattr(queries, "SCAN_LIMIT", 10)
    wanted = [job.id for job in _of(store, 3, owner="me", task="mine")]
    for _ in range(25):
        _of(store, 1, owner="me", task="common")
        _of(store, 1, owner="they", task="mine")
    which = JobFilter(owner="me", task="mine")
    page = store.read_sync(list_jobs, which, limit=2)
    assert list(page.items) == []
    assert page.next_cursor is not None
    assert _walk(store, which, 2, True) == wanted[::-1]
    assert _walk(store, which, 2, False) == wanted


RARE = [
    JobFilter(owner="me", task="rare"),
    JobFilter(owner="me", queue="rare"),
    JobFilter(tag="mine", task="rare"),
    JobFilter(tag="mine", statuses=[S.CANCELLED]),
]


@pytest.mark.parametrize("which", RARE, ids=["task", "queue", "tag, task", "tag, status"])
def test_the_rarest_condition_leads(
    store: Store, monkeypatch: pytest.MonkeyPatch, which: JobFilter
) -> None:
    """One page finds what one condition alone finds, however many jobs the other has."""
    monkeypatch.setattr(queries, "SCAN_LIMIT", 10)
    [rare] = _of(store, 1, owner="me", task="rare", queue="rare", tags=("mine",))
    store.write_sync(RequestCancel(rare.id, NOW))
    _of(store, 40, owner="me", task="common", tags=("mine",))
    page = store.read_sync(list_jobs, which, limit=2)
    assert ([item.id for item in page.items], page.next_cursor) == ([rare.id], None)


def test_running_jobs_are_listed_and_counted(store: Store) -> None:
    """Most indexes know nothing of them."""
    _of(store, 2, owner="me", task="mine", tags=("mine",))
    running = {each.id for each in claim(store, register(store), 2)}
    _of(store, 2, owner="me", task="mine", tags=("mine",))
    for which in (
        JobFilter(), JobFilter(owner="me"), JobFilter(task="mine"), JobFilter(queue="q"),
        JobFilter(tag="mine"), JobFilter(owner="me", task="mine"),
    ):  # fmt: skip
        for newest in (True, False):
            assert running < set(_walk(store, which, 3, newest)), which
            only = replace(which, statuses=[S.RUNNING])
            assert set(_walk(store, only, 1, newest)) == running, which
        assert store.read_sync(count_jobs, which)[S.RUNNING] == 2
        assert not _walk(store, replace(only, created_after=utc_now() + DAY), 1, True)
        assert not _walk(store, replace(only, created_before=utc_now() - DAY), 1, False)


def _of(store: Store, count: int, **changes: Any) -> Sequence[Any]:
    jobs = [new_job(**changes) for _ in range(count)]
    store.write_sync(InsertJobs(jobs))
    return jobs


def test_peek(store: Store) -> None:
    assert store.read_sync(queries.peek) == queries.Peek(False, None)
    queued(store, run_after=later(60))
    queued(store, run_after=later(30), expires_at=later(40))
    assert store.read_sync(queries.peek) == queries.Peek(False, later(30))
    queued(store, expires_at=later(10))
    assert store.read_sync(queries.peek) == queries.Peek(True, later(10))


def test_statuses_of_some_jobs(store: Store) -> None:
    [one] = queued(store)
    found = store.read_sync(queries.get_status, [one, UUID(int=5)])
    assert found == {one: S.QUEUED}


LISTS = [
    JobFilter(),
    JobFilter(statuses=[S.FAILED]),
    JobFilter(task="rare"),
    JobFilter(queue="rare"),
    JobFilter(owner="rare"),
    JobFilter(tag="rare"),
    JobFilter(task="rare", statuses=[S.QUEUED]),
    JobFilter(created_after=at(0), created_before=at(1)),
]


def test_no_list_scans(store: Store) -> None:
    """20,000 rows, of which the oldest is the rare one: each plan walks an index."""
    queued(store, task="rare", queue="rare", owner="rare", tags=("rare",))
    queued(store, 20_000, owner="many", tags=("many",))
    analyze(store)
    plans: list[str] = []
    prefix = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "fastapi_jobs" in statement:
            cursor.execute(prefix + statement, parameters)
            plans.append("\n".join([*(str(row) for row in cursor.fetchall()), statement]))

    event.listen(store.database.reading, "before_cursor_execute", note)
    try:
        for which in LISTS:
            for newest in (True, False):
                store.read_sync(list_jobs, which, newest=newest)
        store.read_sync(queries.peek)
        store.read_sync(queries.queued_tasks)
    finally:
        event.remove(store.database.reading, "before_cursor_execute", note)
    assert len(plans) > len(LISTS)
    for plan in plans:
        assert "Seq Scan on" not in plan, plan
        unindexed = [
            line
            for line in plan.splitlines()
            if "SCAN fastapi_jobs_jobs" in line and "USING" not in line
        ]
        assert not unindexed, plan
