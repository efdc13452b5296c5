"""The list of jobs: filters, notices, pages."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from pydantic_core import from_json

from fastapi_jobs import task
from fastapi_jobs.admin import listed
from fastapi_jobs.clock import uuid7
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from tests.admin.serving import Site, Visitor, make_jobs
from tests.api.conftest import until
from tests.api.tasks import PREFIX, add, echo, fail, hang

ROW = re.compile(r'<tr id="job-([-0-9a-f]+)"')


@task(secret=["password"])
async def sign_in(name: str, password: str) -> None:
    """A task that was told a secret."""


@pytest.fixture
async def site(sqlite_url: str) -> AsyncIterator[Site]:
    """A started app that runs nothing, so that jobs stay as they are."""
    jobs, app = make_jobs(sqlite_url, dispatch=False), FastAPI()
    jobs.init_app(app)
    async with app.router.lifespan_context(app):
        yield Site(app, jobs)


@pytest.fixture
async def viewer(site: Site) -> AsyncIterator[Visitor]:
    async with site.visitor("viewer") as visitor:
        yield visitor


async def shown(visitor: Visitor, **query: Any) -> list[str]:
    """The ids on a page of the list."""
    answer = await visitor.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return ROW.findall(answer.text)


def notices(text: str) -> list[str]:
    return re.findall(r"alert-warning.*?<div>(.*?)</div>", text, re.DOTALL)


async def made(site: Site, count: int = 1, **options: Any) -> list[str]:
    """Jobs of `add`, oldest first."""
    task = add.using(**options) if options else add
    jobs = await site.jobs.enqueue_many([task.s(n) for n in range(count)])
    return [str(each.id) for each in jobs]


async def test_each_filter(site: Site, viewer: Visitor) -> None:
    [plain] = await made(site)
    [queue] = await made(site, queue="mail")
    [tag] = await made(site, tags=["vip"])
    [owner] = await made(site, owner="ada")
    [later] = await made(site, run_after=3600)
    [other] = [str(each.id) for each in await site.jobs.enqueue_many([fail.s("x")])]
    newest_first = [other, later, owner, tag, queue, plain]
    assert await shown(viewer) == newest_first
    assert await shown(viewer, task=f"{PREFIX}.fail") == [other]
    assert await shown(viewer, queue="mail") == [queue]
    assert await shown(viewer, tag="vip") == [tag]
    assert await shown(viewer, owner="ada") == [owner]
    assert await shown(viewer, status="scheduled") == [later]
    assert await shown(viewer, status=["scheduled", "queued"]) == newest_first
    assert await shown(viewer, status="failed") == []
    assert await shown(viewer, queue="mail", tag="vip") == []


async def test_times(site: Site, viewer: Visitor) -> None:
    jobs = await made(site, 2)
    now = datetime.now(UTC)
    before, after = now - timedelta(hours=1), now + timedelta(hours=1)
    assert await shown(viewer, created_after=before.isoformat()) == jobs[::-1]
    assert await shown(viewer, created_after=f"{before:%Y-%m-%dT%H:%M}") == jobs[::-1]
    assert await shown(viewer, created_after=after.isoformat()) == []
    assert await shown(viewer, created_before=before.isoformat()) == []
    assert await shown(viewer, created_before=after.isoformat()) == jobs[::-1]
    # As the field of the form sends it back.
    page = await viewer.get("/jobs", params={"created_before": "2026-01-31T08:00+02:00"})
    assert 'value="2026-01-31T06:00:00"' in page.text
    assert notices(page.text) == []


@pytest.mark.parametrize(
    ("query", "notice"),
    [
        ({"status": "faild"}, "Status “faild” was ignored: there is none of this name."),
        ({"created_after": "soon"}, "Time from “soon” was ignored: give a time such as"),
        ({"created_before": "0001-01-01T00:00+23:00"}, "Time before “0001-01-01T00:00+23:00”"),
        ({"created_before": "1900-01-01"}, "was ignored: give a time between the years"),
        ({"worker": "w1"}, "Worker “w1” was ignored: give its whole id."),
        ({"q": "x" * 201}, "was ignored: give 200 characters at most."),
        ({"q": "zebra", "in": "id"}, "The id “zebra” was ignored: ids have hexadecimal digits"),
        ({"q": "019", "in": "id"}, "give 4 to 32 of them."),
        ({"task": "x" * 201}, "was ignored: none can have this name."),
        ({"tag": "a\0b"}, "was ignored: none can have this name."),
        ({"before": "nonsense"}, "The place in the list was ignored: its address is broken."),
        ({"after": "!" * 22}, "The place in the list was ignored: its address is broken."),
    ],
)
async def test_what_makes_no_sense_is_ignored_and_told(
    site: Site, viewer: Visitor, query: dict[str, str], notice: str
) -> None:
    jobs = await made(site)
    answer = await viewer.get("/jobs", params=query)
    assert answer.status_code == 200
    [told] = notices(answer.text)
    assert notice in told
    assert await shown(viewer, **query) == jobs


async def test_search_by_the_beginning_of_an_id(site: Site, viewer: Visitor) -> None:
    first, second = await made(site, 2)
    common = next(n for n in range(36) if first[n] != second[n])
    assert await shown(viewer, q=first[: common + 1]) == [first]
    assert await shown(viewer, q=first[:8].upper()) == [second, first]
    assert await shown(viewer, q=f" {first[:8]} ", queue="mail") == []
    # All of it leads to the job, if there is one.
    answer = await viewer.get("/jobs", params={"q": second})
    assert answer.headers["location"] == f"/jobs-admin/jobs/{second}"
    assert await shown(viewer, q=str(uuid4())) == []


async def test_search_by_an_argument(site: Site, viewer: Visitor) -> None:
    values = ["needle 42", "other", first_digits(), "12345678", "é"]
    jobs = [str(each.id) for each in await site.jobs.enqueue_many([echo.s(v) for v in values])]
    assert await shown(viewer, q="needle 4") == [jobs[0]]
    assert await shown(viewer, q="é") == [jobs[4]]
    # What no id begins with is an argument; the rest is an id, until somebody says otherwise.
    assert await shown(viewer, q="12345678") == [jobs[3]]
    assert await shown(viewer, q=values[2]) == []
    page = (await viewer.get("/jobs", params={"q": values[2]})).text
    [link] = re.findall(r'href="/jobs-admin([^"]+)">Search the arguments for it instead', page)
    answer = await viewer.get(html.unescape(link))
    assert ROW.findall(answer.text) == [jobs[2]]
    assert "Searched in the arguments of all jobs" in answer.text


def first_digits() -> str:
    """What looks like an id of these years."""
    return f"{uuid7().hex[:2]}ffffff"


async def test_the_window_of_a_search_is_told(
    site: Site, viewer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "TEXT_WINDOW", 3)
    jobs = [str(each.id) for each in await site.jobs.enqueue_many([echo.s("x") for _ in range(5)])]
    answer = await viewer.get("/jobs", params={"q": "x"})
    assert ROW.findall(answer.text) == jobs[:1:-1]
    assert re.search(r"Searched in the arguments of\s+the newest [\d,]+ jobs", answer.text)


async def test_secret_arguments_cannot_be_searched(site: Site, viewer: Visitor) -> None:
    """Else whoever may look could find them out, letter after letter."""
    jobs = await site.jobs.enqueue_many([echo.s("swordfish"), sign_in.s("ada", "swordfish")])
    assert await shown(viewer, q="swordfish") == [str(jobs[0].id)]
    answer = await viewer.get("/jobs", params={"q": "swordfish"})
    assert _counts(answer.text) == {"queued": "1"}
    async with site.visitor("operator") as operator:
        wish = {"action": "cancel", "all": "1", "q": "swordfish"}
        assert "Cancel 1 job?" in (await operator.get("/jobs/change", params=wish)).text
    lines = (await viewer.get("/jobs/export.jsonl", params={"q": "swordfish"})).text.splitlines()
    assert [from_json(each)["id"] for each in lines] == [str(jobs[0].id)]


async def test_the_jobs_of_a_worker(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)
    async with app.router.lifespan_context(app):
        site = Site(app, jobs)
        [job] = await jobs.enqueue_many([hang.s()])
        await made(site, 1, run_after=60)

        async def runs() -> bool:
            return (await job.refresh()).status is JobStatus.RUNNING

        await until(runs)
        [worker] = await jobs.runtime.store.read(queries.get_workers)
        async with site.visitor("viewer") as viewer:
            assert await shown(viewer, worker=str(worker.id)) == [str(job.id)]
            page = (await viewer.get("/jobs", params={"worker": str(worker.id)})).text
            assert f'value="{worker.id}" selected>{worker.host}, pid {worker.pid}<' in page
            gone = str(uuid4())
            assert await shown(viewer, worker=gone) == []
            assert "(gone)" in (await viewer.get("/jobs", params={"worker": gone})).text


async def test_times_that_no_job_can_be_between(site: Site, viewer: Visitor) -> None:
    query = {"created_after": "2030-01-02", "created_before": "2030-01-01"}
    answer = await viewer.get("/jobs", params=query)
    assert notices(answer.text) == ["The time from is not before the other: no job can match."]


async def test_pages_keep_the_filters(
    site: Site, viewer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "LIMIT", 3)
    jobs = (await made(site, 8, queue="mail"))[::-1]
    await made(site, 4)

    async def follow(address: str, name: str) -> str:
        """Where the link of this name leads."""
        page = (await viewer.get(address)).text
        [link] = re.findall(rf'rel="{name}" href="/jobs-admin([^"]+)"', page)
        return str(html.unescape(link))

    async def ids(address: str) -> list[str]:
        return ROW.findall((await viewer.get(address)).text)

    first = "/jobs?queue=mail"
    second = await follow(first, "next")
    third = await follow(second, "next")
    assert [await ids(each) for each in (first, second, third)] == [jobs[:3], jobs[3:6], jobs[6:]]
    assert 'rel="next"' not in (await viewer.get(third)).text
    second = await follow(third, "prev")
    assert await ids(second) == jobs[3:6]
    first = await follow(second, "prev")
    assert await ids(first) == jobs[:3]
    assert "queue=mail" in first
    # Where less than a page is newer, the newest one is shown.
    [new] = await made(site, queue="mail")
    assert await ids(first) == jobs[:3]
    assert await ids(await follow(first, "prev")) == [new, *jobs[:2]]


async def test_counts_beside_the_statuses(site: Site, viewer: Visitor) -> None:
    await made(site, 3)
    await made(site, 2, run_after=60, queue="mail")
    text = (await viewer.get("/jobs", params={"status": "queued"})).text
    assert _counts(text) == {"queued": "3", "scheduled": "2"}
    text = (await viewer.get("/jobs", params={"queue": "mail", "status": "queued"})).text
    assert _counts(text) == {"scheduled": "2"}
    assert 'href="/jobs-admin/jobs?status=scheduled&amp;queue=mail"' in text


def _counts(text: str) -> dict[str, str]:
    found = re.findall(r"jobs-status-(\w+)\".*?<span class=\"number\">([\d,]+)<", text, re.DOTALL)
    return {status: number for status, number in found if number != "0"}


async def test_a_row_reads_well(site: Site, viewer: Visitor) -> None:
    [job] = await made(site, priority=7, tags=["x"])
    text = (await viewer.get("/jobs")).text
    [row] = re.findall(r"<tr id=.*?</tr>", text, re.DOTALL)
    assert f'data-copy="{job}"' in row
    assert f"…{job[-8:]}" in row
    assert "+7" in row
    assert re.search(r'<time datetime="[^"]+" title="[^"]+ UTC">', row)


async def test_an_empty_list_says_what_to_do(viewer: Visitor) -> None:
    assert "Enqueue one with" in (await viewer.get("/jobs")).text
    assert "No job matches" in (await viewer.get("/jobs", params={"tag": "x"})).text


async def test_only_those_who_may_change_jobs_can_choose_them(site: Site) -> None:
    await made(site)
    for role, actions in {
        "viewer": [],
        "operator": ["cancel", "retry"],
        "admin": ["cancel", "retry", "delete"],
    }.items():
        async with site.visitor(role) as visitor:
            text = (await visitor.get("/jobs")).text
            assert re.findall(r'name="action" value="(\w+)"', text) == actions
            assert ('type="checkbox"' in text) is bool(actions)
