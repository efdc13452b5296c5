"""The pages of a job and of tasks in Chromium, as a person clicks through them."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from fastapi_jobs import Job
from tests.admin import job_tasks as tasks
from tests.admin.conftest import LIMIT_MS, Browse
from tests.admin.jobs_of import running
from tests.admin.serving import Served

pytestmark = pytest.mark.slow

SIZES = pytest.mark.parametrize("size", ["desktop", "phone"])


def open_job(page: Page, job: Job[object]) -> None:
    page.goto(f"/jobs-admin/jobs/{job.id}")
    expect(page.get_by_role("heading", level=1)).to_have_text(job.task)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def confirm(page: Page, name: str) -> None:
    """Press a button that asks first, and say yes."""
    press(page, name)
    page.locator("dialog[open]").get_by_role("button", name=name, exact=True).click()


def soon(page: Page, text: str | re.Pattern[str]) -> None:
    """The page comes to show this by itself."""
    expect(page.get_by_text(text).first).to_be_visible(timeout=LIMIT_MS)


def fits(page: Page) -> None:
    """Nothing is wider than the window: only tables and code scroll, within themselves."""
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0


@SIZES
def test_a_failed_job_is_read_retried_and_copied(browse: Browse, served: Served, size: str) -> None:
    page = browse("operator", size)
    task = tasks.break_down.using(app=served.jobs)
    job = served.run(task.enqueue("B-2"))
    served.run(job.wait(60))
    open_job(page, job)
    fits(page)
    trace = page.locator(".jobs-trace")
    expect(trace).to_contain_text("LookupError: no such order: B-2")
    expect(trace.get_by_text("runner.py")).to_be_hidden()
    trace.get_by_text("1 frame of fastapi_jobs").click()
    expect(trace.get_by_text("runner.py")).to_be_visible()
    press(page, "Retry")
    soon(page, "It runs again.")
    soon(page, "Attempt 2 failed")
    page.get_by_role("link", name="Attempt 1 failed").click()
    expect(page.get_by_role("heading", name="Log of attempt 1")).to_be_visible()

    page.get_by_role("link", name="Clone").click()
    arguments = page.get_by_label("Arguments")
    expect(arguments).to_have_value('{\n  "order": "B-2"\n}')
    arguments.fill('{"order": 3}')
    press(page, "Enqueue the copy")
    soon(page, "order: Input should be a valid string, not the int 3.")
    expect(arguments).to_have_value('{"order": 3}')
    fits(page)
    arguments.fill('{"order": "B-3"}')
    press(page, "Enqueue the copy")
    soon(page, "The copy is enqueued")
    soon(page, "LookupError: no such order: B-3")
    expect(page.get_by_text("cloned_from:")).to_be_visible()


@SIZES
def test_a_scheduled_job_is_edited_and_run(browse: Browse, served: Served, size: str) -> None:
    page = browse("operator", size)
    job = served.run(tasks.add.using(app=served.jobs, run_after=3600).enqueue(1))
    open_job(page, job)
    soon(page, re.compile("It is not due until"))
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Priority").fill("700")
    page.get_by_label("Queue").fill("mail")
    press(page, "Save")
    soon(page, "The nearest is 100.")
    expect(page.get_by_label("Queue")).to_have_value("mail")
    fits(page)
    page.get_by_label("Priority").fill("70")
    page.get_by_label("Run after").fill("2h")
    press(page, "Save")
    soon(page, "Changed: queue, priority, run_after.")
    expect(page.locator(".jobs-facts")).to_contain_text(re.compile("mail.*70", re.DOTALL))
    press(page, "Run now")
    soon(page, "It is due now.")
    soon(page, "Attempt 1 succeeded")


@SIZES
def test_a_running_job_shows_its_progress_and_is_cancelled_and_deleted(
    browse: Browse, served: Served, size: str
) -> None:
    page = browse("admin", size)
    job = served.run(running(served.jobs))
    open_job(page, job)
    expect(page.get_by_role("progressbar", name="waiting for good")).to_be_visible()
    press(page, "Cancel")
    page.locator("dialog[open]").get_by_role("button", name="Keep it as it is").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert served.run(job.refresh()).cancel_requested_at is None
    confirm(page, "Cancel")
    soon(page, "It was asked to stop.")
    soon(page, "Finished: cancelled")
    confirm(page, "Delete")
    soon(page, f"Job {job.id} is deleted.")


@SIZES
def test_what_became_illegal_meanwhile_is_a_sentence(
    browse: Browse, served: Served, size: str
) -> None:
    page = browse("operator", size)
    job = served.run(tasks.add.using(app=served.jobs, run_after=3600).enqueue(1))
    open_job(page, job)
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Priority").fill("7")
    served.run(job.cancel())
    press(page, "Save")
    soon(page, re.compile("is cancelled"))
    expect(page.get_by_role("heading", level=1)).to_have_text(job.task)


def test_an_answer_that_comes_late_does_not_change_what_is_asked(
    browse: Browse, served: Served
) -> None:
    """It was asked for before the dialog was opened, and would make another form of this one."""
    page = browse("operator")
    job = served.run(running(served.jobs))
    open_job(page, job)
    held: list[Route] = []
    page.route(lambda url: str(job.id) in url, lambda route: held.append(route))
    with page.expect_request(lambda request: "x-jobs-live" in request.headers):
        page.evaluate("void live.refresh()")
    press(page, "Cancel")
    served.run(job.cancel())
    assert served.run(job.wait(60)).status == "cancelled"
    for each in held:
        each.continue_()
    page.unroute_all()
    page.wait_for_function("!live.busy")
    form = page.locator("form[data-confirm-title]", has=page.get_by_role("button", name="Cancel"))
    expect(form).to_have_attribute("action", re.compile("/cancel$"))
    page.keyboard.press("Escape")
    soon(page, "Finished: cancelled")


@SIZES
def test_a_task_is_enqueued_by_hand(browse: Browse, served: Served, size: str) -> None:
    page = browse("operator", size)
    page.goto("/jobs-admin/tasks")
    fits(page)
    page.get_by_role("link", name=tasks.add.name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(tasks.add.name)
    fits(page)
    page.get_by_label("a needed").fill("4")
    page.get_by_label("b", exact=True).fill("0")
    page.get_by_text("When and where").click()
    page.get_by_label("Priority").fill("9")
    press(page, "Enqueue")
    soon(page, "Input should be greater than or equal to 1, not the int 0.")
    expect(page.get_by_label("a needed")).to_have_value("4")
    expect(page.get_by_label("Priority")).to_have_value("9")
    page.get_by_label("b", exact=True).fill("3")
    press(page, "Enqueue")
    soon(page, "The job is enqueued: this is it.")
    soon(page, "Attempt 1 succeeded")
    expect(page.locator("pre[aria-label=Result]")).to_have_text("7")


def test_a_viewer_reads_and_may_do_nothing(browse: Browse, served: Served) -> None:
    page = browse("viewer")
    job = served.run(tasks.add.using(app=served.jobs, run_after=3600).enqueue(1))
    open_job(page, job)
    expect(page.locator(".jobs-main form")).to_have_count(0)
    expect(page.locator(".jobs-head a.btn")).to_have_count(0)
    page.goto(f"/jobs-admin/tasks/{tasks.add.name}")
    expect(page.locator(".jobs-main form")).to_have_count(0)
