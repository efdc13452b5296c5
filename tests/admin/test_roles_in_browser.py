"""Every page and every action, as each role meets them, at a desk and on a phone."""

import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from fastapi import FastAPI
from playwright.sync_api import Locator, Page, expect

from fastapi_jobs import JobFilter
from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.status import JobStatus
from tests.admin import job_tasks as tasks
from tests.admin.board import waits
from tests.admin.conftest import SIZES, Browse
from tests.admin.jobs_of import STILL, make
from tests.admin.serving import NAMES, PASSWORD, Served, make_jobs, serving

pytestmark = pytest.mark.slow

EVERYBODY = ("viewer", "operator", "admin")
ACTING = ("operator", "admin")
ADMINS = ("admin",)

MENU = {
    **dict.fromkeys(("Overview", "Jobs", "Queues", "Workers", "Tasks"), EVERYBODY),
    "Audit": ACTING,
}
OF_A_JOB = {
    JobStatus.SCHEDULED: ("Run now", "Edit", "Clone", "Cancel"),
    JobStatus.QUEUED: ("Edit", "Clone", "Cancel"),
    JobStatus.RUNNING: ("Clone", "Cancel"),
    JobStatus.SUCCEEDED: ("Retry", "Clone", "Delete"),
    JobStatus.FAILED: ("Retry", "Clone", "Delete"),
    JobStatus.CANCELLED: ("Retry", "Clone", "Delete"),
}
WHO = {"Delete": ADMINS, "Limits…": ADMINS, "Quiet": ADMINS}
"""Who may do what not everybody who acts may do."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app with a paused queue."""
    url = f"sqlite:///{tmp_path_factory.mktemp('roles') / 'jobs.db'}"
    jobs, app = make_jobs(url, queues={STILL: {"paused": True}}), FastAPI()
    jobs.init_app(app)
    with serving(app, jobs) as each:
        yield each


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=EVERYBODY)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def may(role: str, name: str) -> bool:
    return role in WHO.get(name, ACTING)


def fits(page: Page) -> None:
    """Nothing is wider than the window: only tables and code scroll, within themselves."""
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0, page.url


def titled(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)
    fits(page)


def press(page: Page | Locator, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def confirm(page: Page, name: str) -> None:
    """Say yes where it is asked for."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=name, exact=True).click()


def said(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def names(found: Locator) -> list[str]:
    return [each.strip() for each in found.all_inner_texts() if each.strip()]


def test_log_in_and_see_every_page_and_log_out(browse: Browse, role: str, size: str) -> None:
    page = browse(None, size)
    page.goto("/jobs-admin/tasks")
    page.get_by_label("Name").fill(NAMES[role])
    page.get_by_label("Password").fill("no such word")
    press(page, "Log in")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    fits(page)
    page.get_by_label("Name").fill(NAMES[role])
    page.get_by_label("Password").fill(PASSWORD)
    press(page, "Log in")
    titled(page, "Tasks")
    shown = [name for name, who in MENU.items() if role in who]
    assert sorted(_menu(page, size)) == sorted(shown)
    for name in shown:
        page.locator(".jobs-menu").get_by_role("link", name=name, exact=True).click()
        titled(page, name)
        _menu(page, size)
    press(page, f"Log out {NAMES[role]}")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.goto("/jobs-admin/jobs")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def _menu(page: Page, size: str) -> list[str]:
    """Open the menu, where it is folded."""
    page.wait_for_load_state("domcontentloaded")  # before its script runs, it does nothing
    fold = page.get_by_role("button", name="Menu")
    if size == "phone" and fold.get_attribute("aria-expanded") != "true":
        fold.click()
    expect(page.locator(".jobs-menu li a").first).to_be_visible()
    return names(page.locator(".jobs-menu li a"))


@pytest.mark.parametrize("status", OF_A_JOB)
def test_the_actions_of_a_job(
    browse: Browse, served: Served, role: str, size: str, status: JobStatus
) -> None:
    page = browse(role, size)
    allowed = [name for name in OF_A_JOB[status] if may(role, name)]
    for name in allowed or [""]:
        job = served.run(make(served.jobs, status))
        page.goto(f"/jobs-admin/jobs/{job.id}")
        titled(page, job.task)
        assert names(page.locator(".jobs-head .btn-list .btn")) == allowed
        if name:
            _act(page, name)
            fits(page)
    served.run(_cancel_what_runs(served))


async def _cancel_what_runs(served: Served) -> None:
    """The page of workers shows the longest runs only, and is looked at below."""
    runs, _ = await served.jobs.list(JobFilter(statuses=[JobStatus.RUNNING]))
    for job in runs:
        with suppress(IllegalMove):  # it has ended meanwhile
            await (await job.cancel()).wait(60)


def _act(page: Page, name: str) -> None:
    """Do it, and see that it was done."""
    if name in ("Edit", "Clone"):
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_label("Priority").fill("7")
        fits(page)
        press(page, "Save" if name == "Edit" else "Enqueue the copy")
        said(page, "Changed: priority." if name == "Edit" else "The copy is enqueued")
        expect(page.locator(".jobs-facts").first).to_contain_text(re.compile(r"Priority\s*7"))
        return
    press(page, name)
    if name in ("Cancel", "Delete"):
        confirm(page, name)
    told: dict[str, str | re.Pattern[str]] = {
        "Run now": "It is due now.",
        "Retry": "It runs again.",
        "Cancel": re.compile(r"It is cancelled\.|It was asked to stop\."),
        "Delete": "is deleted.",
    }
    said(page, told[name])


@pytest.mark.parametrize(
    ("action", "status", "done"),
    [
        ("Cancel", JobStatus.QUEUED, "cancelled"),
        ("Retry", JobStatus.CANCELLED, "made to run again"),
        ("Delete", JobStatus.CANCELLED, "deleted"),
    ],
)
def test_the_actions_of_many_jobs(
    browse: Browse, served: Served, role: str, size: str, action: str, status: JobStatus, done: str
) -> None:
    page = browse(role, size)
    made = [served.run(make(served.jobs, status)) for _ in range(3)]
    page.goto(f"/jobs-admin/jobs?status={status}&created_after={made[0].created_at:%Y-%m-%dT%T}")
    titled(page, "Jobs")
    buttons = page.locator("#jobs-pick").get_by_role("button")
    allowed = [name for name in ("Cancel", "Retry", "Delete") if may(role, name)]
    assert names(buttons) == (allowed if role in ACTING else [])
    if action not in allowed or role not in ACTING:
        return
    for job in made[:2]:
        page.locator(f"#pick-{job.id}").check()
    press(page.locator("#jobs-pick"), action)
    titled(page, f"{action} 2 jobs?")
    press(page, f"{action} 2 jobs")
    expect(page.get_by_text(f"Done: 2 {done}.")).to_be_visible()
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_text("All that match", exact=True).click()
    page.get_by_role("link", name=f"{action} all that match").click()
    titled(page, re.compile(rf"{action} .*jobs?\?"))
    page.locator("#jobs-run-yes").click()
    expect(page.get_by_text(re.compile(rf"Done: \d+ {done}\."))).to_be_visible()


def test_search_and_export(browse: Browse, served: Served, role: str, size: str) -> None:
    page = browse(role, size)
    job = served.run(tasks.break_down.using(app=served.jobs).enqueue(f"{role}-{size}"))
    served.run(job.wait(60))
    page.goto("/jobs-admin/jobs")
    page.get_by_role("searchbox").fill(f"{role}-{size}")
    press(page, "Search")
    expect(page.locator("#jobs-table tbody tr")).to_have_count(1)
    fits(page)
    for kind in ("CSV, for spreadsheets", "JSON, a line for each job"):
        page.get_by_text("Export", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("link", name=kind).click()
        assert str(job.id) in download.value.path().read_text(encoding="utf-8")
        page.keyboard.press("Escape")
    page.locator("#jobs-table").get_by_role("link", name=job.task).click()
    titled(page, job.task)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the log").click()
    assert "about to break" in download.value.path().read_text(encoding="utf-8")


def test_the_actions_of_queues(browse: Browse, role: str, size: str) -> None:
    page = browse(role, size)
    page.goto("/jobs-admin/queues")
    titled(page, "Queues")
    queue = page.locator("#queue-default")
    allowed = [name for name in ("Pause…", "Limits…") if may(role, name)]
    assert names(queue.get_by_role("button")) == allowed
    if "Pause…" in allowed:
        press(queue, "Pause…")
        press(page.get_by_role("dialog"), "Pause it")
        said(page, "Queue default is paused.")
        press(queue, "Resume")
        said(page, "Queue default takes jobs again.")
    if "Limits…" in allowed:
        press(queue, "Limits…")
        page.get_by_role("dialog").get_by_label("How many jobs run").fill("30")
        press(page.get_by_role("dialog"), "Change them")
        expect(queue).to_contain_text("of 30 (settings: no limit)")
        press(queue, "Back to the settings")
        expect(queue).to_contain_text("of no limit")
    fits(page)


def test_the_actions_of_workers(browse: Browse, served: Served, role: str, size: str) -> None:
    page = browse(role, size)
    job = served.run(waits.using(app=served.jobs).enqueue())
    page.goto("/jobs-admin/workers")
    titled(page, "Workers")
    expect(page.locator(f"#run-{job.id}")).to_be_visible()
    allowed = ["Quiet"] if may(role, "Quiet") else []
    assert names(page.locator(".jobs-grid").get_by_role("button")) == allowed
    if allowed:
        press(page, "Quiet")
        confirm(page, "Quiet")
        expect(page.get_by_text("A person quieted it")).to_be_visible()
        press(page, "Let it claim again")
        expect(page.get_by_text("A person quieted it")).to_have_count(0)
    fits(page)
    served.run(job.cancel())


def test_the_form_of_a_task(browse: Browse, role: str, size: str) -> None:
    page = browse(role, size)
    page.goto("/jobs-admin/tasks")
    page.get_by_role("link", name=tasks.add.name, exact=True).click()
    titled(page, tasks.add.name)
    assert names(page.locator(".jobs-main .jobs-page").get_by_role("button")) == (
        ["Enqueue"] if role in ACTING else []
    )
    if role in ACTING:
        page.get_by_label("a needed").fill("4")
        press(page, "Enqueue")
        said(page, "The job is enqueued: this is it.")
        fits(page)


def test_the_audit(browse: Browse, role: str, size: str) -> None:
    page = browse(role, size)
    page.goto("/jobs-admin/audit")
    if role in MENU["Audit"]:
        titled(page, "Audit")
        page.get_by_label("Who").fill("nobody")
        press(page, "Show")
        page.get_by_role("link", name="Show all").click()
        expect(page.get_by_label("Who")).to_have_value("")
    else:
        expect(page.get_by_text("You may not see who changed what")).to_be_visible()
    fits(page)
