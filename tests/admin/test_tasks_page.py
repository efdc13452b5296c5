"""The list of tasks, and the form that enqueues one by hand."""

import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from fastapi_jobs import task
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus
from tests.admin import job_tasks as tasks
from tests.admin.jobs_of import LONG, STILL, count, make, record, started
from tests.admin.serving import Site, Visitor

ADD = "/tasks/tests.admin.job_tasks.add"
EVERYTHING = "/tasks/tests.admin.job_tasks.everything"


@pytest.fixture
async def site(sqlite_url: str) -> AsyncIterator[Site]:
    async with started(sqlite_url) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> AsyncIterator[Visitor]:
    async with site.visitor("operator") as visitor:
        yield visitor


async def arguments(site: Site, location: str) -> Any:
    made = await record(site.jobs, UUID(location.rpartition("/")[2]))
    assert made is not None
    return json.loads(made.args)


async def test_the_list_tells_options_and_how_a_task_does(site: Site) -> None:
    await make(site.jobs, JobStatus.SUCCEEDED)
    await make(site.jobs, JobStatus.FAILED)
    async with site.visitor("viewer") as visitor:
        page = (await visitor.get("/tasks")).text
    rows = dict(re.findall(r'href="[^"]*/tasks/([\w.]+)">(.*?)</tr>', page, re.DOTALL))
    assert "100 % of 1" in rows["tests.admin.job_tasks.add"]
    assert "0 % of 1" in rows["tests.admin.job_tasks.break_down"]
    assert "none ended" in rows["tests.admin.job_tasks.everything"]
    assert " ms" in rows["tests.admin.job_tasks.add"]


async def test_the_form_follows_the_signature(visitor: Visitor) -> None:
    page = html.unescape((await visitor.get(EVERYTHING)).text)
    fields = dict(re.findall(r'<(?:input|select|textarea)([^>]*) name="arg\.(\w+)"[^>]*>', page))
    kinds = {
        name: re.search(rf'<(\w+)[^>]* name="arg\.{name}"(?:[^>]* type="(\w+)")?', page)
        for name in fields.values()
    }
    found = {name: (m[1], m[2]) for name, m in kinds.items() if m}
    assert found == {
        "needed": ("input", "text"),
        "colour": ("select", None),
        "copies": ("input", "number"),
        "price": ("input", "text"),
        "urgent": ("input", None),
        "note": ("input", "text"),
        "items": ("textarea", None),
        "more": ("textarea", None),
        "rest": ("textarea", None),
    }
    assert 'name="arg.copies" value="2"' in page
    assert 'name="arg.price" value="1.5"' in page
    assert "<option selected>red</option>" in page
    assert 'name="arg.ctx"' not in page
    for each in re.findall(r'<(?:input|select|textarea)[^>]* id="([^"]+)"', page):
        assert f'for="{each}"' in page or f'id="{each}"' in page


async def test_what_is_left_alone_keeps_the_default_of_the_function(
    site: Site, visitor: Visitor
) -> None:
    form = {
        "arg.needed": "x",
        "arg.colour": "red",
        "arg.copies": "2",
        "arg.price": "1.5",
        "arg.items": "[]",
    }
    answer = await visitor.change(EVERYTHING, **form)
    assert answer.status_code == 303, answer.text
    assert await arguments(site, answer.headers["location"]) == {"needed": "x"}


async def test_every_kind_of_value_arrives(site: Site, visitor: Visitor) -> None:
    form = {
        "arg.needed": "several\r\nlines",
        "arg.colour": "blue",
        "arg.copies": "3",
        "arg.price": "2.50",
        "arg.urgent": "on",
        "arg.note": "a note",
        "arg.items": '[{"sku": "A", "count": 2}]',
        "arg.more": "[1, 2]",
        "arg.rest": '{"k": "v"}',
        "queue": STILL,
        "priority": "4",
    }
    answer = await visitor.change(EVERYTHING, **form)
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert await arguments(site, location) == {
        "needed": "several\nlines",
        "colour": "blue",
        "copies": 3,
        "price": "2.50",
        "urgent": True,
        "note": "a note",
        "items": [{"sku": "A", "count": 2}],
        "more": [1, 2],
        "rest": {"k": "v"},
    }
    made = await site.jobs.get(UUID(location.rpartition("/")[2]))
    assert (made.queue, made.priority, made.status) == (STILL, 4, JobStatus.QUEUED)


async def test_wrong_values_are_told_at_their_fields_and_kept(site: Site, visitor: Visitor) -> None:
    before = await count(site.jobs)
    form = {
        "arg.copies": "many",
        "arg.items": "[1",
        "arg.rest": '["no object"]',
        "queue": "no good",
        "priority": "high",
        "run_after": "2030-13-01",
    }
    answer = await visitor.change(EVERYTHING, **form)
    page = html.unescape(answer.text)
    assert answer.status_code == 422
    assert await count(site.jobs) == before
    told = {
        name: text.strip()
        for name, text in re.findall(r'id="([\w-]+)-error"><i[^>]*></i>(.*?)</p>', page)
    }
    assert told["arg-needed"] == "It is missing."
    assert told["arg-items"].startswith("This is not JSON")
    assert {"option-queue", "option-priority", "option-run_after"} <= told.keys()
    for text in form.values():
        assert text in page
    # The types are judged once all of them are there.
    answer = await visitor.change(EVERYTHING, **form | {"arg.needed": "x", "arg.items": ""})
    page = html.unescape(answer.text)
    assert "Input should be a valid integer, not the str 'many'" in page
    assert 'aria-invalid="true"' in page
    assert await count(site.jobs) == before


async def test_it_runs(site: Site, visitor: Visitor) -> None:
    answer = await visitor.change(ADD, **{"arg.a": "2", "arg.b": "3", "run_after": ""})
    job = await site.jobs.get(UUID(answer.headers["location"].rpartition("/")[2]))
    assert await job.result(LONG) == 5
    assert "The job is enqueued" in (await visitor.get(f"/jobs/{job.id}")).text
    answer = await visitor.change(ADD, **{"arg.a": "2", "run_after": "2h"})
    later = await site.jobs.get(UUID(answer.headers["location"].rpartition("/")[2]))
    assert later.status is JobStatus.SCHEDULED


async def test_a_viewer_sees_no_form_and_may_not_send_it(site: Site) -> None:
    async with site.visitor("viewer") as viewer:
        page = await viewer.get(ADD)
        assert page.status_code == 200
        assert 'id="enqueue"' not in page.text
        assert (await viewer.change(ADD, **{"arg.a": "2"})).status_code == 403
    assert await count(site.jobs) == 0


async def test_a_refused_duplicate_is_told_on_the_form(site: Site, visitor: Visitor) -> None:
    held = await tasks.only_one.using(app=site.jobs, run_after=3600).enqueue("a")
    answer = await visitor.change("/tasks/tests.admin.job_tasks.only_one", **{"arg.key": "a"})
    assert answer.status_code == 422
    assert str(held.id) in answer.text
    assert 'value="a"' in answer.text


async def test_any_name_of_a_task_has_a_page(visitor: Visitor) -> None:
    name = 'odd/name? <b>"100 %"</b>#x'

    @task(name=name)
    async def odd() -> None: ...

    try:
        address = quote(name)
        assert f'href="/jobs-admin/tasks/{address}"' in (await visitor.get("/tasks")).text
        page = (await visitor.get(f"/tasks/{address}")).text
        assert "<b>" not in page.partition("<h1")[2].partition("</h1>")[0]
        assert "It takes no arguments." in page
        assert (await visitor.change(f"/tasks/{address}")).status_code == 303
    finally:
        registry.remove(name)


async def test_an_unknown_task_names_the_nearest(visitor: Visitor) -> None:
    answer = await visitor.get("/tasks/tests.admin.job_tasks.ad")
    assert answer.status_code == 404
    assert "tests.admin.job_tasks.add" in answer.text
