"""Lists by worker, by the beginning of an id, and by a text in the arguments."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.errors import InvalidQuery
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries, walks
from fastapi_jobs.store.queries import Page, count_after, count_jobs, list_jobs, make_cursor
from fastapi_jobs.store.store import Store
from tests.store.driving import NOW, claim, finish_of, insert, new_job, queued, register

S = JobStatus


def at(minutes: float) -> datetime:
    """So many minutes after NOW."""
    return NOW + timedelta(minutes=minutes)


def made(store: Store, *args: str, **changes: Any) -> list[UUID]:
    """Jobs with these arguments, one a minute; their ids."""
    jobs = [new_job(at=at(number), **changes) for number in range(len(args))]
    for number, (job, text) in enumerate(zip(jobs, args, strict=True)):
        job.id, job.args = UUID(int=first_uuid7(at(number)).int + number), text
    insert(store, *jobs)
    return [job.id for job in jobs]


def pages(
    store: Store, which: JobFilter, limit: int = 50, *, newest: bool = True
) -> tuple[list[UUID], list[Page]]:
    """All ids, and their pages."""
    found: list[Page] = []
    cursor = None
    while not found or cursor is not None:
        found.append(store.read_sync(list_jobs, which, limit=limit, cursor=cursor, newest=newest))
        cursor = found[-1].next_cursor
    return [item.id for page in found for item in page.items], found


def ids(store: Store, limit: int = 50, *, newest: bool = True, **which: Any) -> list[UUID]:
    """All ids of a filter."""
    return pages(store, JobFilter(**which), limit, newest=newest)[0]


class TestWorker:
    """`worker` finds what a process runs, and ran last."""

    def test_what_it_runs_and_ran(self, store: Store) -> None:
        mine, other = register(store), register(store)
        jobs = queued(store, 6, owner="ann", tags=("x",))
        for claimed in claim(store, mine, 2):
            store.write_sync(finish_of(claimed))
        claim(store, other, 2)
        claim(store, mine, 1)
        by_mine = [jobs[4], jobs[1], jobs[0]]
        assert ids(store, worker=mine) == by_mine
        others: list[dict[str, Any]] = [{"owner": "ann"}, {"tag": "x"}, {"task": "t"}]
        for more in others:
            assert ids(store, 1, worker=mine, **more) == by_mine, more
            assert ids(store, worker=mine, statuses=[S.RUNNING], **more) == jobs[4:5], more
            assert ids(store, worker=other, statuses=[S.SUCCEEDED], **more) == [], more
        counts = store.read_sync(count_jobs, JobFilter(worker=mine))
        assert (counts[S.RUNNING], counts[S.SUCCEEDED], counts[S.QUEUED]) == (1, 2, 0)
        assert ids(store, worker=uuid4()) == []

    def test_what_runs_is_found_behind_whatever_else_runs(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "SCAN_LIMIT", 5)
        mine, other = register(store), register(store)
        [old] = queued(store)
        claim(store, mine, 1)
        queued(store, 30)
        claim(store, other, 30)
        which = JobFilter(worker=mine, statuses=[S.RUNNING])
        page = store.read_sync(list_jobs, which, limit=2)
        assert ([item.id for item in page.items], page.next_cursor) == ([old], None)


class TestIdPrefix:
    """`id_prefix` is a span of ids."""

    def test_each_job_by_how_its_id_begins(self, store: Store) -> None:
        jobs = made(store, *["{}"] * 5)
        for job in jobs:
            assert ids(store, id_prefix=str(job)) == [job]
            assert ids(store, id_prefix=str(job)[:13].upper()) == [job]
            assert ids(store, id_prefix=job.hex[:12], task="t", statuses=[S.QUEUED]) == [job]
            assert ids(store, id_prefix=job.hex[:12], task="other") == []
        for newest in (True, False):
            expected = jobs[::-1] if newest else jobs
            assert ids(store, 2, id_prefix=jobs[0].hex[:4], newest=newest) == expected
        assert ids(store, id_prefix="ffff") == []
        assert ids(store, id_prefix="f" * 32) == []

    def test_with_a_time(self, store: Store) -> None:
        jobs = made(store, *["{}"] * 5)
        begins = jobs[0].hex[:4]
        assert ids(store, id_prefix=begins, created_after=at(3)) == [jobs[4], jobs[3]]
        assert ids(store, id_prefix=begins, created_before=at(1)) == [jobs[0]]
        assert ids(store, id_prefix=jobs[0].hex[:12], created_after=at(3)) == []

    @pytest.mark.parametrize("prefix", ["", "abc", "a-b-c", "0190zz", "0" * 33, "%%%%", 1234])
    def test_what_no_id_begins_with(self, prefix: Any) -> None:
        with pytest.raises(InvalidQuery) as caught:
            JobFilter(id_prefix=prefix)
        assert str(caught.value) == (
            f"id_prefix={prefix!r}: give 4 to 32 hexadecimal digits, with or without dashes."
        )


class TestText:
    """`text` is searched in the newest jobs, as far back as the page says."""

    def test_the_text_itself(self, store: Store) -> None:
        texts = ['{"a":"Ann"}', '{"a":"ann_x%"}', '{"a":"é\\n\\"q\\" \\\\"}', '{"n":17}']
        jobs = made(store, *texts)
        wanted = {
            "Ann": [0], "ann": [1], "nn": [0, 1], "n_x%": [1], "_": [1], "%": [1], "é": [2],
            '"q" \\': [2], "\n": [2], '"n":17': [3], "a": [0, 1, 2], "nowhere": [], "\\": [2],
        }  # fmt: skip
        for text, expected in wanted.items():
            found = ids(store, 1, text=text, newest=False)
            assert found == [jobs[number] for number in expected], text

    @pytest.mark.parametrize("newest", [True, False], ids=["newest", "oldest"])
    def test_it_says_how_far_back_it_looked(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, newest: bool
    ) -> None:
        monkeypatch.setattr(queries, "TEXT_WINDOW", 5)
        jobs = made(store, *['{"a":1}', '{"a":2}'] * 4)
        for text, expected in (("a", jobs[3:]), ('"a":1', jobs[4::2]), ("nowhere", [])):
            expected = expected[::-1] if newest else expected
            for limit in (1, 2, 5, 50):
                found, seen = pages(store, JobFilter(text=text), limit, newest=newest)
                assert found == expected, (text, limit)
                assert {page.window_from for page in seen} == {at(3)}
        assert store.read_sync(count_jobs, JobFilter(text="a"))[S.QUEUED] == 5
        cursor = make_cursor(jobs[0])
        assert store.read_sync(count_after, JobFilter(text='"a":1'), cursor) == 2
        monkeypatch.setattr(queries, "TEXT_WINDOW", 9)
        found, seen = pages(store, JobFilter(text="a"), newest=newest)
        assert (set(found), seen[0].window_from) == (set(jobs), None)

    def test_its_window_is_of_what_the_other_conditions_give(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "TEXT_WINDOW", 2)
        rare = made(store, *['{"a":1}'] * 3, task="rare", owner="ann", tags=("x",))
        queued(store, 5, owner="bob", at=at(60))
        conditions: tuple[dict[str, Any], ...] = (
            {"task": "rare"},
            {"owner": "ann"},
            {"tag": "x"},
            {"created_before": at(59)},
        )
        for more in conditions:
            found, seen = pages(store, JobFilter(text="a", **more))
            assert found == [rare[2], rare[1]], more
            assert seen[0].window_from == at(1)

    def test_only_the_jobs_of_some_tasks_are_searched(self, store: Store) -> None:
        jobs = [new_job("open"), new_job("secret"), new_job("other", queue="else")]
        for job in jobs:
            job.args = '{"a":"needle"}'
        insert(store, *jobs)
        open_, _, other = [job.id for job in jobs]
        assert set(ids(store, text="needle", searched=["open", "other"])) == {open_, other}
        assert ids(store, text="needle", searched=["open", "other"], queue="else") == [other]
        assert ids(store, text="needle", searched=["open"], task="secret") == []
        assert ids(store, text="needle", searched=[]) == []
        which = JobFilter(text="needle", searched=["open"])
        assert store.read_sync(count_jobs, which)[S.QUEUED] == 1
        assert store.read_sync(queries.count_all, which) == (1, True)

    def test_a_count_of_all_keeps_to_the_window(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "TEXT_WINDOW", 3)
        made(store, *["needle"] * 5)
        assert store.read_sync(queries.count_all, JobFilter(text="needle")) == (3, True)

    def test_only_the_beginning_of_long_arguments_is_searched(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(walks, "TEXT_DEPTH", 30)
        queries._page_statement.cache_clear()
        [job] = made(store, '{"a":"' + "x" * 20 + 'y"}' + "z" * 30)
        assert ids(store, text="xy") == [job]
        assert ids(store, text="zz") == []
        queries._page_statement.cache_clear()

    @pytest.mark.parametrize("text", ["", "x" * 201, "a\0b", 5])
    def test_what_is_no_text(self, text: Any) -> None:
        with pytest.raises(InvalidQuery, match="give a str of 1 to 200 characters"):
            JobFilter(text=text)


def test_a_worker_is_an_id() -> None:
    name: Any = "here:7"
    with pytest.raises(InvalidQuery, match="give the id of the worker, a UUID"):
        JobFilter(worker=name)
