"""What each role may do with a job of each status: by the buttons, and when called directly."""

import json
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from httpx2 import Response

from fastapi_jobs.admin.roles import GRANTS
from fastapi_jobs.api.access import Action
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.audit import list_audit
from tests.admin.jobs_of import LONG, STILL, count, make, record, started
from tests.admin.serving import Site, Visitor

S = JobStatus
STATUSES = (S.SCHEDULED, S.QUEUED, S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELLED)
BUTTONS = {
    S.SCHEDULED: {"cancel", "edit", "run-now"},
    S.QUEUED: {"cancel", "edit"},
    S.RUNNING: {"cancel"},
    S.SUCCEEDED: {"retry", "delete"},
    S.FAILED: {"retry", "delete"},
    S.CANCELLED: {"retry", "delete"},
}
GRANT = {
    "cancel": Action.CANCEL,
    "retry": Action.RETRY,
    "delete": Action.DELETE,
    "edit": Action.EDIT,
    "run-now": Action.EDIT,
    "clone": Action.CREATE,
}
HARMLESS = {(S.CANCELLED, "cancel"), (S.QUEUED, "run-now")}
"""What says again what is so already."""


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    async with started(database_url) as site:
        yield site


def offered(page: str, job_id: UUID) -> set[str]:
    return set(re.findall(rf'(?:href|action)="[^"]*/jobs/{job_id}/([a-z-]+)"', page))


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_buttons_by_role_and_status(site: Site, role: str) -> None:
    async with site.visitor(role) as visitor:
        for status in STATUSES:
            job = await make(site.jobs, status)
            page = await visitor.get(f"/jobs/{job.id}")
            assert page.status_code == 200
            granted = {each for each, action in GRANT.items() if action in GRANTS[role]}
            assert offered(page.text, job.id) == (BUTTONS[status] | {"clone"}) & granted, status


async def test_a_viewer_changes_nothing_by_direct_calls(site: Site) -> None:
    async with site.visitor("viewer") as visitor:
        for status in STATUSES:
            job = await make(site.jobs, status)
            before, jobs = await record(site.jobs, job.id), await count(site.jobs)
            for name in GRANT:
                answer = await visitor.change(f"/jobs/{job.id}/{name}", priority="9")
                assert answer.status_code == 403, name
            for name in ("edit", "clone"):
                assert (await visitor.get(f"/jobs/{job.id}/{name}")).status_code == 403
            assert await record(site.jobs, job.id) == before
            assert await count(site.jobs) == jobs


async def test_an_operator_may_not_delete(site: Site) -> None:
    job = await make(site.jobs, S.SUCCEEDED)
    async with site.visitor("operator") as visitor:
        assert (await visitor.change(f"/jobs/{job.id}/delete")).status_code == 403
    assert await record(site.jobs, job.id) is not None


async def said(visitor: Visitor, answer: Response) -> str:
    """What the page after a change says of it."""
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"].removeprefix("/jobs-admin")
    page = (await visitor.get(path)).text
    return " ".join(re.findall(r"jobs-flash.*?<div>(.*?)</div>", page, re.DOTALL))


@pytest.mark.parametrize("name", ["cancel", "retry", "delete", "run-now", "edit"])
async def test_what_the_status_forbids_is_a_sentence(site: Site, name: str) -> None:
    async with site.visitor("admin") as visitor:
        for status in STATUSES:
            if name in BUTTONS[status] or (status, name) in HARMLESS:
                continue
            job = await make(site.jobs, status)
            before = await record(site.jobs, job.id)
            fields = {"queue": "default", "priority": "7", "was_priority": "0"}
            answer = await visitor.change(f"/jobs/{job.id}/{name}", **fields)
            assert f"is {status}" in await said(visitor, answer), (status, name)
            assert await record(site.jobs, job.id) == before


async def test_cancel(site: Site) -> None:
    async with site.visitor("operator") as visitor:
        waiting, busy = await make(site.jobs, S.SCHEDULED), await make(site.jobs, S.RUNNING)
        answer = await visitor.change(f"/jobs/{waiting.id}/cancel")
        assert "It is cancelled." in await said(visitor, answer)
        answer = await visitor.change(f"/jobs/{busy.id}/cancel")
        assert "It was asked to stop." in await said(visitor, answer)
        ended = await busy.wait(LONG)
        assert (ended.status, ended.reason) == (S.CANCELLED, "cancelled by otto")


async def test_retry_and_delete(site: Site) -> None:
    async with site.visitor("admin") as visitor:
        job = await make(site.jobs, S.FAILED)
        assert "It runs again." in await said(
            visitor, await visitor.change(f"/jobs/{job.id}/retry")
        )
        assert (await (await job.refresh()).wait(LONG)).attempt == 2
        page = (await visitor.get(f"/jobs/{job.id}")).text
        assert "Attempt 1 failed" in page
        assert "Attempt 2 failed" in page
        answer = await visitor.change(f"/jobs/{job.id}/delete")
        assert str(job.id) in await said(visitor, answer)
        assert (await visitor.get(f"/jobs/{job.id}")).status_code == 404


async def test_run_now(site: Site) -> None:
    async with site.visitor("operator") as visitor:
        job = await make(site.jobs, S.SCHEDULED)
        answer = await visitor.change(f"/jobs/{job.id}/run-now")
        assert "It is due now." in await said(visitor, answer)
        assert (await job.wait(LONG)).status is S.SUCCEEDED
        due = await make(site.jobs, S.QUEUED)
        answer = await visitor.change(f"/jobs/{due.id}/run-now")
        assert "It is due already" in await said(visitor, answer)


async def test_the_forms_change_nothing(site: Site) -> None:
    async with site.visitor("admin") as visitor:
        job = await make(site.jobs, S.SCHEDULED)
        before, jobs = await record(site.jobs, job.id), await count(site.jobs)
        for name in ("edit", "clone"):
            assert (await visitor.get(f"/jobs/{job.id}/{name}")).status_code == 200
        assert await record(site.jobs, job.id) == before
        assert await count(site.jobs) == jobs


async def test_edit_writes_what_was_changed_alone(site: Site) -> None:
    async with site.visitor("operator") as visitor:
        job = await make(site.jobs, S.SCHEDULED)
        form = (await visitor.get(f"/jobs/{job.id}/edit")).text
        was = dict(re.findall(r'name="(was_\w+)" value="([^"]*)"', form))
        assert was["was_queue"] == "default"
        old = {name.removeprefix("was_"): text for name, text in was.items()}
        answer = await visitor.change(f"/jobs/{job.id}/edit", **was, **old)
        assert "Nothing was changed." in await said(visitor, answer)
        fields = was | old | {"queue": STILL, "priority": "7"}
        answer = await visitor.change(f"/jobs/{job.id}/edit", **fields)
        assert "Changed: queue, priority." in await said(visitor, answer)
        now = await job.refresh()
        assert (now.queue, now.priority, now.run_after) == (STILL, 7, job.run_after)
        fields = {"was_run_after": old["run_after"], "run_after": "2030-01-31 08:00"}
        keep = {"queue": STILL, "was_queue": STILL, "priority": "7", "was_priority": "7"}
        await visitor.change(f"/jobs/{job.id}/edit", **keep, **fields)
        assert f"{(await job.refresh()).run_after}" == "2030-01-31 08:00:00+00:00"
        fields = {"was_run_after": "2030-01-31 08:00:00", "run_after": ""}
        await visitor.change(f"/jobs/{job.id}/edit", **keep, **fields)
        assert (await job.refresh()).status is S.QUEUED


async def test_a_wrong_edit_is_told_at_its_field_and_kept(site: Site) -> None:
    async with site.visitor("operator") as visitor:
        job = await make(site.jobs, S.SCHEDULED)
        before = await record(site.jobs, job.id)
        wrong = {"queue": "no good", "priority": "700", "run_after": "someday"}
        answer = await visitor.change(f"/jobs/{job.id}/edit", **wrong)
        assert answer.status_code == 422
        for name, text in wrong.items():
            assert f'value="{text}"' in answer.text
            assert f'id="option-{name}-error"' in answer.text
        assert await record(site.jobs, job.id) == before
        empty = {"was_queue": "default", "queue": "", "priority": "0", "was_priority": "0"}
        answer = await visitor.change(f"/jobs/{job.id}/edit", **empty)
        assert "Give a value." in answer.text


async def test_the_form_of_a_job_that_started_is_a_sentence(site: Site) -> None:
    async with site.visitor("operator") as visitor:
        job = await make(site.jobs, S.SUCCEEDED)
        answer = await visitor.get(f"/jobs/{job.id}/edit")
        assert "only a job that waits can be edited" in await said(visitor, answer)


async def test_every_change_is_noted(site: Site) -> None:
    async with site.visitor("admin") as visitor:
        done, waiting = await make(site.jobs, S.SUCCEEDED), await make(site.jobs, S.SCHEDULED)
        edited = {"was_priority": "0", "priority": "7"}
        await visitor.change(f"/jobs/{waiting.id}/edit", **edited)
        await visitor.change(f"/jobs/{waiting.id}/cancel")
        copy = await visitor.change(f"/jobs/{done.id}/clone", arguments='{"a":1}')
        made = copy.headers["location"].rpartition("/")[2]
        await visitor.change(f"/jobs/{done.id}/delete")
        await visitor.change(f"/jobs/{done.id}/retry")  # refused: nothing was changed
        page = await site.jobs.runtime.store.read(list_audit)
    noted = [
        (each.who, each.action, each.target, json.loads(each.details or "{}"))
        for each in reversed(page.items)
        if each.target
    ]
    task = done.task
    assert noted == [
        ("anna", "edit", str(waiting.id), {"priority": "7"}),
        ("anna", "cancel", str(waiting.id), {}),
        ("anna", "create", made, {"task": task, "cloned_from": str(done.id)}),
        ("anna", "delete", str(done.id), {"task": task}),
    ]
