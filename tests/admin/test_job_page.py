"""What the page of a job shows, and what it hands out as files."""

import html
import json
import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from fastapi_jobs import task
from fastapi_jobs.admin.redaction import HIDDEN, shown_arguments, shown_result
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus
from tests.admin import job_tasks as tasks
from tests.admin.jobs_of import LONG, count, make, record, running, started
from tests.admin.serving import Site, Visitor

SECRET = "hunter2-of-anna"


@pytest.fixture
async def site(sqlite_url: str) -> AsyncIterator[Site]:
    async with started(sqlite_url, max_payload=8_000_000, max_error_bytes=6_000_000) as site:
        yield site


@pytest.fixture
async def visitor(site: Site) -> AsyncIterator[Visitor]:
    async with site.visitor("operator") as visitor:
        yield visitor


async def test_a_failed_job_shows_its_traceback_with_our_frames_folded(
    site: Site, visitor: Visitor
) -> None:
    job = await make(site.jobs, JobStatus.FAILED)
    page = html.unescape((await visitor.get(f"/jobs/{job.id}")).text)
    assert "LookupError: no such order: A-1" in page
    folded = re.search(
        r"<details[^>]*><summary>1 frame of fastapi_jobs</summary>(.*?)</details>", page, re.S
    )
    assert folded is not None
    assert "fastapi_jobs/runner.py" in folded[1]
    assert "in break_down" not in folded[1]
    assert "job_tasks.py" in page
    assert "It failed in its first attempt" in page


async def test_arguments_result_log_and_progress(site: Site, visitor: Visitor) -> None:
    done = await make(site.jobs, JobStatus.SUCCEEDED)
    page = html.unescape((await visitor.get(f"/jobs/{done.id}")).text)
    assert '{\n  "a": 1,\n  "b": 2\n}' in page
    assert re.search(r'aria-label="Result">3<', page)
    assert "adding" in page
    assert "<dt>b</dt><dd>2</dd>" in page
    busy = await running(site.jobs)
    page = (await visitor.get(f"/jobs/{busy.id}")).text
    assert re.search(r'<progress[^>]* value="3(\.0)?" max="10(\.0)?"', page)
    assert "waiting for good" in page
    assert "Attempt 1 runs" in page


async def test_why_a_job_does_not_run(site: Site, visitor: Visitor) -> None:
    job = await make(site.jobs, JobStatus.QUEUED)
    assert "is paused" in (await visitor.get(f"/jobs/{job.id}")).text


async def test_nothing_of_a_task_is_markup(site: Site, visitor: Visitor) -> None:
    job = await tasks.break_down.using(app=site.jobs, tags=[tasks.MARKUP]).enqueue(tasks.MARKUP)
    await job.wait(LONG)
    for path in (f"/jobs/{job.id}", f"/jobs/{job.id}/clone"):
        page = (await visitor.get(path)).text
        assert "<script>alert" not in page
        assert "alert(" in page


async def test_log_lines_come_in_pages_the_newest_first(site: Site, visitor: Visitor) -> None:
    job = await tasks.chatter.using(app=site.jobs).enqueue(250)
    await job.wait(LONG)

    def lines(page: str) -> list[int]:
        return [int(each) for each in re.findall(r">line (\d+)<", page)]

    page = (await visitor.get(f"/jobs/{job.id}")).text
    assert lines(page) == list(range(150, 250))
    older = re.search(r'href="/jobs-admin([^"]*)">Older lines', page)
    assert older is not None
    page = (await visitor.get(html.unescape(older[1]))).text
    assert lines(page) == list(range(50, 150))
    whole = (await visitor.get(f"/jobs/{job.id}/files/logs")).text
    assert len(whole.splitlines()) == 250
    for nonsense in ("before=x", "attempt=-1", "attempt=99999999999999", "before=0"):
        assert (await visitor.get(f"/jobs/{job.id}?{nonsense}")).status_code == 200


async def test_what_is_too_long_is_cut_and_can_be_downloaded(site: Site, visitor: Visitor) -> None:
    text = "long " * 1_000_000
    job = await tasks.break_down.using(app=site.jobs).enqueue(text)
    await job.wait(LONG)
    page = await visitor.get(f"/jobs/{job.id}")
    assert len(page.content) < 250_000
    assert page.text.count("Download all of it") == 2
    assert "more characters are not shown" in page.text
    file = await visitor.get(f"/jobs/{job.id}/files/arguments")
    assert json.loads(file.text) == {"order": text}
    traces = await visitor.get(f"/jobs/{job.id}/files/traceback?attempt=1")
    assert text in traces.text
    for answer in (file, traces):
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment")
    assert (await visitor.get(f"/jobs/{job.id}/files/result")).status_code == 404
    assert (await visitor.get(f"/jobs/{job.id}/files/traceback?attempt=7")).status_code == 404


async def test_secret_arguments_never_leave_the_server(
    site: Site, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    job = await tasks.log_in.using(app=site.jobs).enqueue("anna", SECRET)
    await job.wait(LONG)
    for path in ("", "/clone", "/files/arguments", "/files/logs"):
        page = await visitor.get(f"/jobs/{job.id}{path}")
        assert page.status_code == 200
        assert SECRET not in page.text
    assert HIDDEN in (await visitor.get(f"/jobs/{job.id}")).text
    # What a person typed into a form does not come back, neither in its field nor in a message.
    wrong = {"arg.user": "", "arg.password": SECRET}
    answer = await visitor.change("/tasks/tests.admin.job_tasks.log_in", **wrong)
    assert answer.status_code == 422
    assert SECRET not in answer.text
    answer = await visitor.change(
        "/tasks/tests.admin.job_tasks.log_in", **{"arg.user": "x", "arg.password": "psw"}
    )
    assert answer.status_code == 422
    assert "it is secret" in answer.text
    assert "'psw'" not in html.unescape(answer.text)
    assert SECRET not in caplog.text


async def test_secret_results_never_leave_the_server(site: Site, visitor: Visitor) -> None:
    job = await tasks.make_key.using(app=site.jobs).enqueue("anna")
    assert await job.result(LONG) == {"key": "of anna, and secret"}
    page = await visitor.get(f"/jobs/{job.id}")
    assert (HIDDEN in page.text, "anna" in page.text, "and secret" in page.text) == (
        True,
        True,
        False,
    )
    assert (await visitor.get(f"/jobs/{job.id}/files/result")).text == f'"{HIDDEN}"'
    for name in ("csv", "jsonl"):
        text = (await visitor.get(f"/jobs/export.{name}")).text
        assert "anna" in text
        assert "and secret" not in text
    clone = await visitor.get(f"/jobs/{job.id}/clone")
    assert HIDDEN not in clone.text
    assert "anna" in (await visitor.get("/jobs", params={"q": "anna", "in": "args"})).text


async def test_a_copy_keeps_the_secret_that_nobody_saw(site: Site, visitor: Visitor) -> None:
    job = await tasks.log_in.using(app=site.jobs).enqueue("anna", SECRET)
    edited = json.dumps({"user": "bert", "password": HIDDEN})
    answer = await visitor.change(f"/jobs/{job.id}/clone", arguments=edited)
    made = await record(site.jobs, _id_in(answer.headers["location"]))
    assert made is not None
    assert json.loads(made.args) == {"user": "bert", "password": SECRET}


def _id_in(location: str) -> UUID:
    return UUID(location.rpartition("/")[2])


async def test_of_an_unknown_task_no_argument_is_shown(site: Site, visitor: Visitor) -> None:
    @task(name="gone.with_secrets")
    async def gone(key: str) -> None: ...

    job = await gone.using(app=site.jobs, run_after=3600).enqueue(SECRET)
    registry.remove("gone.with_secrets")
    page = (await visitor.get(f"/jobs/{job.id}")).text
    assert SECRET not in page
    assert "does not know the task" in page
    assert f"/jobs/{job.id}/clone" not in page
    assert shown_arguments("gone.with_secrets", '{"key":"x"}') == {"key": HIDDEN}
    assert shown_result("gone.with_secrets", '"x"') == f'"{HIDDEN}"'
    assert shown_result("gone.with_secrets", None) is None
    answer = await visitor.get(f"/jobs/{job.id}/clone")
    assert answer.status_code == 303


async def test_related_jobs(site: Site, visitor: Visitor) -> None:
    first = await make(site.jobs, JobStatus.SUCCEEDED)
    second = await tasks.add.using(
        app=site.jobs, metadata={"parent": str(first.id), "other": str(uuid4())}
    ).enqueue(2)
    await second.wait(LONG)
    page = (await visitor.get(f"/jobs/{second.id}")).text
    related = page.partition("Related")[2]
    assert "Named in its metadata" in related
    assert related.count(f'href="/jobs-admin/jobs/{first.id}"') == 2
    keyed = await tasks.only_one.using(app=site.jobs).enqueue("a")
    await keyed.wait(LONG)
    again = await tasks.only_one.using(app=site.jobs, run_after=3600).enqueue("a")
    other = await tasks.only_one.using(app=site.jobs, run_after=3600).enqueue("b")
    page = (await visitor.get(f"/jobs/{keyed.id}")).text
    same_key = page.partition("Same unique key")[2].partition("Same task")[0]
    assert str(again.id) in same_key
    assert str(other.id) not in same_key


async def test_a_copy_is_judged_like_an_enqueue(site: Site, visitor: Visitor) -> None:
    job = await make(site.jobs, JobStatus.SUCCEEDED)
    before = await count(site.jobs)
    for text, message in (
        ("{", "This is not JSON"),
        ("[1]", "Give a JSON object"),
        ('{"a": "x"}', "a: Input should be a valid integer"),
        ('{"b": 2}', "a: It is missing."),
        ('{"a": 1, "b": 0}', "b: Input should be greater than or equal to 1"),
        ('{"a": 1, "c": 0}', "There is no parameter 'c'"),
        ('{"a": 1, "ctx": 0}', "It is injected when the job runs"),
        ("[" * 100_000, "This is not JSON"),
    ):
        answer = await visitor.change(f"/jobs/{job.id}/clone", arguments=text, priority="5")
        page = html.unescape(answer.text)
        assert answer.status_code == 422, text[:20]
        assert message in page, text[:20]
        assert f">\n{text}</textarea>" in page
        assert 'value="5"' in page
    answer = await visitor.change(f"/jobs/{job.id}/clone", arguments='{"a":1}', run_after="soon")
    assert 'id="option-run_after-error"' in answer.text
    assert await count(site.jobs) == before


async def test_a_copy_is_a_new_job_of_the_same_owner(site: Site, visitor: Visitor) -> None:
    job = await tasks.add.using(
        app=site.jobs, owner="ann", tags=["vip"], metadata={"x": 1}
    ).enqueue(1)
    answer = await visitor.change(f"/jobs/{job.id}/clone", arguments='{"a": 5}', queue="default")
    assert answer.status_code == 303
    made = await site.jobs.get(_id_in(answer.headers["location"]))
    assert await made.result(LONG) == 6
    assert (made.owner, tuple(made.tags)) == ("ann", ("vip",))
    assert made.metadata == {"x": 1, "cloned_from": str(job.id)}


async def test_a_copy_whose_key_is_held_is_refused_in_words(site: Site, visitor: Visitor) -> None:
    job = await tasks.only_one.using(app=site.jobs, run_after=3600).enqueue("a")
    answer = await visitor.change(f"/jobs/{job.id}/clone", arguments='{"key": "a"}')
    assert answer.status_code == 422
    assert str(job.id) in answer.text
    assert "Nothing was stored" in answer.text


@pytest.mark.parametrize("path", ["nonsense", "018f4f7e-0000-7000-8000-000000000000"])
async def test_no_such_job(visitor: Visitor, path: str) -> None:
    for below in ("", "/edit", "/clone", "/files/arguments"):
        assert (await visitor.get(f"/jobs/{path}{below}")).status_code == 404
    for action in ("cancel", "retry", "run-now", "edit", "clone"):
        assert (await visitor.change(f"/jobs/{path}/{action}")).status_code == 404
