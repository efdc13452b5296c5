"""Our pages inside a host's own SQLAdmin, as a person clicks through them."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from fastapi_jobs.status import JobStatus
from tests.admin import job_tasks as tasks
from tests.admin.board import waits
from tests.admin.conftest import SIZES, Browse
from tests.admin.host import HostLogin, host_admin
from tests.admin.jobs_of import make
from tests.admin.serving import PASSWORD, Served, make_jobs, serving

pytestmark = pytest.mark.slow

PAGES = ("overview", "jobs", "queues", "workers", "tasks", "audit")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The host's app."""
    url = f"sqlite:///{tmp_path_factory.mktemp('host') / 'jobs.db'}"
    jobs, app = make_jobs(url), FastAPI()
    jobs.init_app(app, admin=False)
    jobs.register_admin(host_admin(app, HostLogin("secret")))
    with serving(app, jobs) as each:
        yield each


@pytest.fixture(params=SIZES)
def page(browse: Browse, request: pytest.FixtureRequest) -> Page:
    """Somebody who has logged in at the host's own page."""
    page = browse(None, request.param)
    page.goto("/admin/jobs")
    expect(page).to_have_url(re.compile("/admin/login"))
    page.locator("[name=username]").fill("ada")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("form").get_by_role("button").or_(page.locator("[type=submit]")).first.click()
    expect(page).not_to_have_url(re.compile("/login"))
    return page


def said(page: Page, text: str) -> None:
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def confirm(page: Page, name: str) -> None:
    press(page, name)
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def test_every_page(page: Page, served: Served) -> None:
    job = served.run(make(served.jobs, JobStatus.FAILED))
    for path in (*PAGES, f"jobs/{job.id}", f"tasks/{tasks.add.name}"):
        page.goto(f"/admin/{path}")
        expect(page.locator(".jobs-page h1")).to_be_visible()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0, path
    page.goto("/admin/overview")
    expect(page.locator("#throughput-plot canvas")).to_be_visible()


def test_a_job_and_its_actions(page: Page, served: Served) -> None:
    job = served.run(make(served.jobs, JobStatus.FAILED))
    page.goto("/admin/jobs")
    page.locator(f"#job-{job.id}").get_by_role("link", name=job.task).click()
    press(page, "Retry")
    said(page, "It runs again.")
    expect(page.get_by_text("Attempt 2 failed").first).to_be_visible()
    confirm(page, "Delete")
    said(page, f"Job {job.id} is deleted.")


def test_many_jobs(page: Page, served: Served) -> None:
    jobs = [served.run(make(served.jobs, JobStatus.SCHEDULED)) for _ in range(2)]
    page.goto("/admin/jobs?status=scheduled")
    for job in jobs:
        page.locator(f"#pick-{job.id}").check()
    page.locator("#jobs-pick").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Cancel 2 jobs")).to_be_visible()
    page.wait_for_load_state("domcontentloaded")
    press(page, "Cancel 2 jobs")
    expect(page.get_by_text("Done: 2 cancelled.")).to_be_visible()


def test_a_queue_and_a_worker(page: Page, served: Served) -> None:
    job = served.run(waits.using(app=served.jobs).enqueue())
    page.goto("/admin/queues")
    queue = page.locator("#queue-default")
    queue.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog", name="Pause queue default?")
    dialog.get_by_label("Why? Others see it.").fill("The relay is down")
    dialog.get_by_role("button", name="Pause it").click()
    expect(queue).to_contain_text(re.compile("Paused by .*: The relay is down"))
    queue.get_by_role("button", name="Resume").click()
    said(page, "Queue default takes jobs again.")
    page.goto("/admin/workers")
    expect(page.locator(f"#run-{job.id}")).to_be_visible()
    confirm(page, "Quiet")
    expect(page.get_by_text("A person quieted it")).to_be_visible()
    press(page, "Let it claim again")
    expect(page.get_by_text("A person quieted it")).to_have_count(0)
    served.run(job.cancel())


def test_a_task_by_hand(page: Page) -> None:
    page.goto(f"/admin/tasks/{tasks.add.name}")
    page.get_by_label("a needed").fill("4")
    press(page, "Enqueue")
    said(page, "The job is enqueued: this is it.")
    expect(page.locator("pre[aria-label=Result]")).to_have_text("5")
