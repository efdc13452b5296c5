"""The list of jobs as a person uses it, at a desk and on a phone."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, Route, expect

from tests.admin.conftest import LIMIT_MS, SIZES, Browse
from tests.admin.serving import Served, make_jobs, serving
from tests.api.tasks import add
from tests.servers import wait_until

pytestmark = pytest.mark.slow

LIST = "/jobs-admin/jobs"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An app that runs nothing, so that jobs stay as they are."""
    url = f"sqlite:///{tmp_path_factory.mktemp('listed') / 'jobs.db'}"
    jobs, app = make_jobs(url, dispatch=False), FastAPI()
    jobs.init_app(app)
    expect.set_options(timeout=LIMIT_MS)
    with serving(app, jobs) as each:
        yield each


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(served: Served, count: int, **options: Any) -> None:
    task = add.using(**options)
    served.run(served.jobs.enqueue_many([task.s(n) for n in range(count)]))


def rows(page: Page) -> Any:
    return page.locator("#jobs-table tbody tr")


def test_filter_and_page(served: Served, browse: Browse, size: str) -> None:
    queue = f"filter-{size}"
    make(served, 60, queue=queue)
    page = browse("viewer", size)
    page.goto(LIST)
    page.locator("#jobs-more summary").click()
    page.get_by_label("Queue", exact=True).fill(queue)
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(rows(page)).to_have_count(50)
    first = rows(page).first.get_attribute("id")
    page.get_by_role("link", name="Older").click()
    expect(rows(page)).to_have_count(10)
    page.get_by_role("link", name="Newer").click()
    expect(rows(page)).to_have_count(50)
    assert rows(page).first.get_attribute("id") == first
    statuses = page.get_by_role("navigation", name="Statuses")
    statuses.get_by_role("link", name="failed").click()
    expect(page.get_by_text("No job matches")).to_be_visible()
    expect(page.get_by_label("Queue", exact=True)).to_have_value(queue)
    statuses.get_by_role("link", name="queued").click()
    expect(statuses.get_by_role("link", name="queued")).to_have_attribute("aria-current", "true")
    expect(statuses.get_by_role("link", name="queued")).to_contain_text("60")
    expect(rows(page)).to_have_count(50)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= SIZES[size][0]


def test_choose_and_cancel(served: Served, browse: Browse, size: str) -> None:
    queue = f"choose-{size}"
    make(served, 5, queue=queue)
    page = browse("operator", size)
    page.goto(f"{LIST}?queue={queue}")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_disabled()
    boxes = rows(page).get_by_role("checkbox")
    boxes.nth(1).check()
    boxes.nth(3).check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_disabled()
    # A refresh brings what came in, and leaves the choice.
    chosen = boxes.nth(1).get_attribute("id")
    make(served, 1, queue=queue)
    page.evaluate("live.refresh()")
    expect(rows(page)).to_have_count(6)
    expect(page.locator(f"#{chosen}")).to_be_checked()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_label("All on this page").check()
    expect(page.get_by_text("6 chosen")).to_be_visible()
    boxes.first.uncheck()
    expect(page.get_by_label("All on this page")).to_have_js_property("indeterminate", True)
    cancel.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 5 jobs?")
    page.wait_for_load_state("domcontentloaded")  # its script does it piece by piece
    page.get_by_role("button", name="Cancel 5 jobs").click()
    expect(page.get_by_text("Done: 5 cancelled.")).to_be_visible()
    page.get_by_role("link", name="Back to the list").click()
    expect(page).to_have_url(re.compile(rf"{LIST}\?queue={queue}$"))
    expect(rows(page).locator(".jobs-status-cancelled")).to_have_count(5)
    expect(rows(page).locator(".jobs-status-queued")).to_have_count(1)


def test_all_that_match(served: Served, browse: Browse, size: str) -> None:
    queue = f"all-{size}"
    make(served, 450, queue=queue)
    page = browse("operator", size)
    page.goto(f"{LIST}?queue={queue}")
    page.get_by_text("All that match", exact=True).click()
    page.get_by_role("link", name="Cancel all that match").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 450 jobs?")
    held: list[Route] = []
    page.route(re.compile("/jobs/change$"), lambda route: held.append(route))
    page.wait_for_load_state("domcontentloaded")  # its script does it piece by piece
    page.get_by_role("button", name="Cancel 450 jobs").click()
    bar, told = page.get_by_role("progressbar"), page.locator("#jobs-run-told")
    expect(bar).to_have_js_property("value", 0)
    _let_go(page, held)
    expect(told).to_have_text("200 cancelled…")
    expect(bar).to_have_js_property("value", 200)
    expect(bar).to_have_js_property("max", 450)
    page.get_by_role("button", name="Stop here").click()
    _let_go(page, held)
    expect(told).to_have_text("Stopped: 400 cancelled.")
    page.get_by_role("button", name="Go on").click()
    _let_go(page, held)
    expect(told).to_have_text("Done: 450 cancelled.")
    expect(page.get_by_role("button", name="Go on")).to_be_hidden()
    page.get_by_role("link", name="Back to the list").click()
    expect(page).to_have_url(re.compile(rf"{LIST}\?queue={queue}$"))
    expect(rows(page).locator(".jobs-status-cancelled")).to_have_count(50)


def _let_go(page: Page, held: list[Route]) -> None:
    """Let the request through that the page waits for."""
    # Each call lets Playwright hear of what happened.
    wait_until(lambda: page.evaluate("true") and bool(held), LIMIT_MS / 1000)
    held.pop().continue_()


def test_a_lost_server_is_told(served: Served, browse: Browse) -> None:
    make(served, 3, queue="lost")
    page = browse("operator")
    page.goto("/jobs-admin/jobs/change?action=cancel&all=1&queue=lost")
    page.route(re.compile("/jobs/change$"), lambda route: route.fulfill(status=503))
    page.wait_for_load_state("domcontentloaded")  # its script does it piece by piece
    page.get_by_role("button", name="Cancel 3 jobs").click()
    expect(page.get_by_text("Stopped, as the server answered 503: 0 cancelled.")).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Done: 3 cancelled.")).to_be_visible()


def test_copy_an_id(served: Served, browse: Browse) -> None:
    make(served, 1, queue="copied")
    page = browse("viewer")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{LIST}?queue=copied")
    job_id = str(rows(page).get_attribute("id")).removeprefix("job-")
    page.evaluate("() => { live.busy = true; window.setTimeout = () => 0; }")  # the sign stays
    page.get_by_role("button", name=f"Copy the id {job_id}").click()
    expect(page.locator(".jobs-copy.is-done")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == job_id


def test_export(served: Served, browse: Browse, size: str) -> None:
    queue = f"export-{size}"
    make(served, 3, queue=queue)
    page = browse("viewer", size)
    page.goto(f"{LIST}?queue={queue}")
    page.get_by_text("Export", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV, for spreadsheets").click()
    assert re.fullmatch(r"jobs-\d{8}-\d{6}\.csv", download.value.suggested_filename)
    text = download.value.path().read_text(encoding="utf-8-sig")
    assert len(text.splitlines()) == 4
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="CSV, for spreadsheets")).to_be_hidden()
