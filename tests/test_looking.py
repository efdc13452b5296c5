"""Looking at jobs from the host's own code: which jobs, and what they logged."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, JobFilter, JobStatus
from fastapi_jobs.errors import InvalidQuery
from tests.api.conftest import GENEROUS, make_jobs
from tests.api.tasks import add, chatty, shout


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[FastAPIJobs]:
    async with make_jobs(database_url) as jobs:
        yield jobs


async def test_the_lines_of_all_attempts_page_by_page(jobs: FastAPIJobs) -> None:
    job = await (await chatty.enqueue(3)).wait(GENEROUS)
    lines = await job.logs(limit=2)
    while page := await job.logs(after=lines[-1], limit=2):
        assert len(page) <= 2
        lines += page
    assert [(line.attempt, line.number) for line in lines] == [
        (attempt, number) for attempt in (1, 2) for number in (1, 2, 3)
    ]
    assert lines == await job.logs()
    last = lines[-1]
    assert (last.message, last.level, last.fields) == (
        "line 2 of attempt 2",
        "INFO",
        {"number": 2},
    )
    assert last.at.utcoffset() is not None
    assert await job.logs(attempt=1) == lines[:3]
    assert await job.logs(attempt=1, after=lines[1]) == [lines[2]]
    assert await job.logs(attempt=3) == []


async def test_what_is_too_long_is_cut(jobs: FastAPIJobs) -> None:
    job = await (await shout.enqueue("x" * 100_000)).wait(GENEROUS)
    [line] = await job.logs()
    assert str(line.fields["cut"]).startswith('{"text":"xxx')


def test_blocking(sqlite_url: str) -> None:
    with make_jobs(sqlite_url) as jobs:
        job = add.using(tags=["x"], run_after=60).enqueue_sync(1)
        add.enqueue_sync(1)
        assert job.logs_sync() == []
        found, cursor = jobs.list_sync(JobFilter(tag="x"))
        assert ([each.id for each in found], cursor) == ([job.id], None)
        first, cursor = jobs.list_sync(limit=1)
        second, end = jobs.list_sync(limit=1, cursor=cursor)
        assert (len({first[0].id, second[0].id}), end) == (2, None)


@pytest.mark.parametrize("limit", [0, -1, 1001])
async def test_a_page_has_a_limit(jobs: FastAPIJobs, limit: int) -> None:
    job = await add.using(run_after=60).enqueue(1)
    for asked in (job.logs(limit=limit), jobs.list(limit=limit)):
        with pytest.raises(InvalidQuery, match=f"limit={limit}: give 1 to 1,000"):
            await asked


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"statuses": "failed"}, "statuses='failed': give a collection, such as ['failed']."),
        ({"statuses": ["faild"]}, "succeeded, failed, cancelled. Did you mean 'failed'?"),
        ({"task": add}, "give the name of the task, a str."),
        ({"owner": 7}, "owner=7: give the name of the owner, a str."),
        ({"created_after": datetime(2026, 1, 1)}, "give an aware datetime"),  # noqa: DTZ001
        ({"created_before": "2026-01-01"}, "give an aware datetime"),
        ({"created_before": datetime(1, 1, 1, tzinfo=UTC)}, "between the years 1970 and 9998."),
    ],
)
def test_what_no_job_can_be_like_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidQuery, match=re.escape(sentence)):
        JobFilter(**given)


def test_a_status_may_be_written_as_text() -> None:
    [status] = JobFilter(statuses=["failed"]).statuses  # type: ignore[list-item]
    assert status is JobStatus.FAILED
