"""The list of jobs: filters, notices, pages."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from fastapi_jobs.admin import listed
from tests.admin.serving import Site, Visitor, make_jobs
from tests.api.tasks import PREFIX, add, fail

ROW = re.compile(r'<tr id="job-([-0-9a-f]+)"')


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
