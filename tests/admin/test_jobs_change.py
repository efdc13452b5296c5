"""Many jobs cancelled, run again or deleted from their list."""

import re
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import Response
from pydantic_core import from_json

from fastapi_jobs import Action
from fastapi_jobs.admin import bulk
from fastapi_jobs.api import many
from fastapi_jobs.handle import Job
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.store import queries
from fastapi_jobs.store.audit import list_audit
from tests.admin.conftest import Login
from tests.admin.serving import Site, Visitor, make_jobs
from tests.admin.test_jobs_list import made, notices, shown, site

__all__ = ["site"]

JSON = {"accept": "application/json"}


def heading(answer: Response) -> str:
    [found] = re.findall(r"<h1[^>]*>(.*?)</h1>", answer.text)
    return str(found)


def flashes(answer: Response) -> list[str]:
    return re.findall(r'jobs-flash".*?<div>(.*?)</div>', answer.text, re.DOTALL)


async def counts(site: Site) -> dict[str, int]:
    found = await site.jobs.runtime.store.read(queries.count_jobs, JobFilter())
    return {status.value: number for status, number in found.items() if number}


async def confirm(visitor: Visitor, **query: Any) -> dict[str, list[str]]:
    """The fields of the form that asks whether to make a change."""
    page = await visitor.get("/jobs/change", params=query)
    form = page.text.partition("data-many")[2].partition("</form>")[0]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(value)
    assert fields, page.text
    return fields


async def send(visitor: Visitor, fields: dict[str, list[str]], **more: str) -> Response:
    """Send that form, as a browser without scripts does; what the browser then shows."""
    answer = await visitor.post("/jobs/change", data={**fields, **more}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_chosen_ones(site: Site, login: Login) -> None:
    jobs = await made(site, 4)
    visitor = await login("admin")
    question = await visitor.get("/jobs/change", params={"action": "cancel", "id": jobs[:3]})
    assert heading(question) == "Cancel 3 jobs?"
    answer = await send(visitor, await confirm(visitor, action="cancel", id=jobs[:3]))
    assert flashes(answer) == ["3 jobs cancelled."]
    assert await counts(site) == {"cancelled": 3, "queued": 1}
    # One of them cannot be run again: it waits.
    question = await visitor.get("/jobs/change", params={"action": "retry", "id": jobs[1:]})
    assert heading(question) == "Retry 2 jobs?"
    assert "without 1 whose status does not allow it" in question.text
    answer = await send(visitor, await confirm(visitor, action="retry", id=jobs[1:]))
    [told] = flashes(answer)
    assert told.startswith("2 jobs made to run again. 1 left as they are: their status")
    answer = await send(visitor, await confirm(visitor, action="delete", id=[jobs[0]]))
    assert flashes(answer) == ["1 job deleted."]
    assert await counts(site) == {"queued": 3}


async def test_all_that_match_and_none_that_comes_later(site: Site, login: Login) -> None:
    await made(site, 5, queue="mail")
    others = await made(site, 2)
    visitor = await login("operator")
    question = await visitor.get(
        "/jobs/change", params={"action": "cancel", "all": "1", "queue": "mail"}
    )
    assert heading(question) == "Cancel 5 jobs?"
    fields = await confirm(visitor, action="cancel", all="1", queue="mail")
    late = await made(site, 2, queue="mail")
    answer = await send(visitor, fields)
    assert flashes(answer) == ["5 jobs cancelled."]
    assert answer.url.params["queue"] == "mail"
    assert await shown(visitor, status="queued") == [*late[::-1], *others[::-1]]


async def test_a_request_at_a_time_without_scripts(
    site: Site, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST", 3)
    await made(site, 8)
    visitor = await login("operator")
    fields = await confirm(visitor, action="cancel", all="1")
    for left in ("5 jobs", "2 jobs"):
        answer = await send(visitor, fields)
        assert flashes(answer) == ["3 jobs cancelled."]
        assert heading(answer) == f"Cancel {left}?"
        fields = await confirm(visitor, **dict(answer.url.params))
    answer = await send(visitor, fields)
    assert (flashes(answer), heading(answer)) == (["2 jobs cancelled."], "Jobs")


async def test_chunk_after_chunk_for_a_script(site: Site, login: Login) -> None:
    await made(site, 5)
    visitor = await login("operator")
    fields = {**await confirm(visitor, action="cancel", all="1"), "limit": ["2"]}
    seen = []
    for _ in range(3):
        answer = await visitor.post("/jobs/change", data=fields, headers=JSON)
        out = answer.json()
        seen.append((out["done"], out["remaining"]))
        fields["after"] = [out["next_cursor"] or ""]
    assert seen == [(2, 3), (2, 1), (1, 0)]
    assert out["next_cursor"] is None


async def test_a_count_that_stopped_says_so(
    site: Site, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries.count_all, "__kwdefaults__", {"cap": 3})
    await made(site, 5)
    visitor = await login("operator")
    question = await visitor.get("/jobs/change", params={"action": "cancel", "all": "1"})
    assert heading(question) == "Cancel more than 3 jobs?"
    assert "Counting stops at 3; more may match." in question.text


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"action": "explode", "all": "1"}, "Say what is to happen: cancel, retry or delete."),
        ({"action": "cancel"}, "Choose jobs first, by the boxes in front of them."),
        ({"action": "cancel", "id": "x"}, "One of the chosen jobs has no job"),
        ({"action": "cancel", "all": "1", "status": "faild"}, "So nothing was changed."),
        ({"action": "cancel", "all": "1", "until": "soon"}, "So nothing was changed."),
        ({"action": "cancel", "all": "1", "after": "x"}, "So nothing was changed."),
    ],
)
async def test_half_a_wish_changes_nothing(
    site: Site, login: Login, query: dict[str, str], why: str
) -> None:
    await made(site, 2)
    visitor = await login("admin")
    answer = await visitor.get("/jobs/change", params=query, follow_redirects=True)
    assert any(why in each for each in notices(answer.text)), answer.text
    answer = await visitor.change("/jobs/change", **query)
    assert answer.status_code == 303
    answer = await visitor.post("/jobs/change", data={"csrf": visitor.token, **query}, headers=JSON)
    assert answer.status_code == 400
    assert await counts(site) == {"queued": 2}


async def test_nothing_left_to_do(site: Site, login: Login) -> None:
    [job] = await made(site)
    visitor = await login("admin")
    for query in ({"id": job}, {"all": "1", "status": "queued"}, {"id": str(uuid4())}):
        answer = await visitor.get("/jobs/change", params={"action": "delete", **query})
        assert heading(answer) == "Nothing to delete"
    answer = await visitor.change("/jobs/change", action="delete", all="1", status="queued")
    assert answer.status_code == 303
    assert await counts(site) == {"queued": 1}


async def test_who_may(site: Site, login: Login) -> None:
    [job] = await made(site)
    visitor = await login("viewer")
    wish = {"action": "cancel", "id": job}
    assert (await visitor.get("/jobs/change", params=wish)).status_code == 403
    assert (await visitor.change("/jobs/change", **wish)).status_code == 403
    visitor = await login("operator")
    wish = {"action": "delete", "id": job}
    assert (await visitor.get("/jobs/change", params=wish)).status_code == 403
    assert (await visitor.change("/jobs/change", **wish)).status_code == 403
    # Without the token of the session, nobody.
    wish = {"action": "cancel", "id": job}
    assert (await visitor.post("/jobs/change", data=wish)).status_code == 403
    assert await counts(site) == {"queued": 1}


async def test_the_permission_hook_is_asked_about_each_job(sqlite_url: str) -> None:
    def permission(request: Any, action: Action, job: Job[Any] | None) -> bool:
        return action is not Action.CANCEL or (job is not None and job.queue == "mail")

    jobs, app = make_jobs(sqlite_url, dispatch=False), FastAPI()
    jobs.init_app(app, admin=False)
    jobs.mount_admin(app, permission=permission)
    async with app.router.lifespan_context(app):
        site = Site(app, jobs)
        await made(site, 3, queue="mail")
        chosen = await made(site, 2)
        async with site.visitor("operator") as visitor:
            fields = await confirm(visitor, action="cancel", all="1")
            [told] = flashes(await send(visitor, fields))
            assert told.startswith("3 jobs cancelled. 2 left as they are")
            fields = await confirm(visitor, action="cancel", id=chosen)
            [told] = flashes(await send(visitor, fields))
            assert told.startswith("0 jobs cancelled. 2 left as they are")
        assert await counts(site) == {"cancelled": 3, "queued": 2}


async def test_each_chunk_is_one_noted_transaction(
    site: Site, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "CHUNK", 2)
    jobs = await made(site, 3, queue="mail")
    visitor = await login("operator")
    await send(visitor, await confirm(visitor, action="cancel", all="1", queue="mail"))
    await send(visitor, await confirm(visitor, action="retry", id=jobs[:1]))
    page = await site.jobs.runtime.store.read(list_audit, limit=3)
    assert [each.action for each in page.items] == ["retry", "cancel", "cancel"]
    assert {each.who for each in page.items} == {"otto"}
    retried, *cancelled = [from_json(each.details or "{}") for each in page.items]
    assert retried == {"count": 1, "ids": jobs[:1]}
    assert [each["count"] for each in cancelled] == [1, 2]
    assert cancelled[0]["filter"]["queue"] == "mail"
