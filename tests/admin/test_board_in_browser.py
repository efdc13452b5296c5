"""The overview, the queues, the workers and the audit, as a person clicks through them."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from fastapi_jobs.handle import Job
from tests.admin.board import broken, fine, waits
from tests.admin.conftest import LIMIT_MS, SIZES, Browse
from tests.admin.serving import Served

REFRESH = "document.dispatchEvent(new Event('visibilitychange'))"


def end(served: Served, good: int, bad: int = 0) -> None:
    """Let jobs end."""

    async def run() -> list[Job[int | None]]:
        signatures = [fine.s()] * good + [broken.s("no relay")] * bad
        jobs = await served.jobs.enqueue_many(signatures)
        return [await each.wait(timeout=30) for each in jobs]

    served.run(run())


def drawn(page: Page) -> int:
    """How often the chart was drawn."""
    return int(page.locator("#throughput-plot").get_attribute("data-drawn") or 0)


def ended(page: Page) -> Locator:
    return page.locator(".jobs-legend li").filter(has_text="succeeded").locator("strong")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chart_is_drawn_and_follows_the_theme(
    browse: Browse, served: Served, size: str, theme: str
) -> None:
    end(served, 3, 1)
    page = browse("viewer", size, theme)
    page.goto("/jobs-admin/overview")
    canvas = page.locator("#throughput-plot canvas")
    expect(canvas).to_be_visible()
    assert 200 < canvas.bounding_box()["width"] <= SIZES[size][0]  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before = drawn(page)
    page.emulate_media(color_scheme="light" if theme == "dark" else "dark")
    expect(page.locator("#throughput-plot")).not_to_have_attribute("data-drawn", str(before))
    expect(canvas).to_have_count(1)
    page.get_by_text("The same as a table").click()
    expect(page.locator("#throughput-table tbody tr")).not_to_have_count(0)
    page.get_by_role("link", name="Last 24 hours").click()
    expect(page.get_by_role("link", name="Last 24 hours")).to_have_attribute("aria-current", "true")
    expect(canvas).to_be_visible()


def test_the_overview_refreshes_itself(page: Page, served: Served) -> None:
    end(served, 1)
    page.goto("/jobs-admin/overview")
    page.get_by_text("The same as a table").click()
    before, old = drawn(page), ended(page).inner_text()
    end(served, 4)
    # A look that took long is kept for up to half a minute.
    expect(ended(page)).not_to_have_text(old, timeout=3 * LIMIT_MS)
    expect(page.locator("#throughput-plot")).not_to_have_attribute("data-drawn", str(before))
    expect(page.locator("#throughput-table")).to_have_attribute("open", "")


def test_a_bar_tells_its_figures(page: Page, served: Served) -> None:
    end(served, 1)
    page.goto("/jobs-admin/overview")
    plot = page.locator("#throughput-plot .u-over")
    page.evaluate("live.busy = true")  # a refresh would draw it anew, without a mouse on it
    plot.hover()
    told = re.compile(r"\d succeeded, \d+ failed, \d+ cancelled")
    expect(page.locator("#throughput-readout")).to_have_text(told)


def queue(page: Page, name: str) -> Locator:
    page.goto("/jobs-admin/queues")
    return page.locator(f"#queue-{name}")


@pytest.mark.parametrize("size", SIZES)
def test_pause_with_a_reason_and_resume(browse: Browse, size: str) -> None:
    page = browse("operator", size)
    mail = queue(page, "mail")
    mail.get_by_role("button", name="Pause…").click()
    dialog = page.get_by_role("dialog", name="Pause queue mail?")
    reason = dialog.get_by_label("Why? Others see it.")
    expect(reason).to_be_focused()
    reason.fill("The relay is down")
    page.evaluate(REFRESH)
    expect(reason).to_have_value("The relay is down")
    dialog.get_by_role("button", name="Pause it").click()
    expect(page.get_by_role("status")).to_contain_text("Queue mail is paused.")
    expect(mail).to_contain_text(re.compile("Paused by otto .*: The relay is down"))
    expect(mail.get_by_role("button", name="Limits…")).to_have_count(0)
    mail.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_contain_text("Queue mail takes jobs again.")
    expect(mail.get_by_role("button", name="Pause…")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
def test_change_a_limit_and_take_it_back(browse: Browse, size: str) -> None:
    page = browse("admin", size)
    mail = queue(page, "mail")
    mail.get_by_role("button", name="Limits…").click()
    dialog = page.get_by_role("dialog", name="Limits of queue mail")
    dialog.get_by_label("How many jobs run").fill("3")
    dialog.get_by_label("Priority").fill("7")
    dialog.get_by_role("button", name="Change them").click()
    expect(mail).to_contain_text("of 3 (settings: no limit)")
    expect(mail).to_contain_text("wins over the settings")
    expect(mail.get_by_role("meter")).to_have_attribute("max", "3")
    mail.get_by_role("button", name="Back to the settings").click()
    expect(mail).to_contain_text("of no limit")
    expect(mail.get_by_role("button", name="Back to the settings")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
def test_quiet_a_worker_and_let_it_claim_again(browse: Browse, served: Served, size: str) -> None:
    job = served.run(waits.enqueue())
    page = browse("admin", size)
    page.goto("/jobs-admin/workers")
    expect(page.locator(f"#run-{job.id} a")).to_be_visible()
    page.get_by_role("button", name="Quiet").click()
    page.get_by_role("dialog").get_by_role("button", name="Quiet").click()
    expect(page.get_by_text("A person quieted it")).to_be_visible()
    expect(page.locator(f"#run-{job.id} a")).to_be_visible()
    page.get_by_role("button", name="Let it claim again").click()
    expect(page.get_by_text("A person quieted it")).to_have_count(0)
    served.run(job.cancel())


@pytest.mark.parametrize("size", SIZES)
def test_find_what_somebody_did(browse: Browse, size: str) -> None:
    page = browse("operator", size)
    mail = queue(page, "mail")
    mail.get_by_role("button", name="Pause…").click()
    page.get_by_role("button", name="Pause it").click()
    mail.get_by_role("button", name="Resume").click()
    page.goto("/jobs-admin/audit")
    page.get_by_label("Who").fill("otto")
    page.get_by_label("On what").fill("mail")
    page.get_by_role("button", name="Show", exact=True).click()
    newest = page.locator("tbody tr").first
    expect(newest).to_contain_text("resume")
    expect(newest.locator("time")).to_have_attribute("title", re.compile("UTC$"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_label("Who")).to_have_value("")


def test_a_viewer_only_looks(browse: Browse) -> None:
    page = browse("viewer")
    for path in ("queues", "workers"):
        page.goto(f"/jobs-admin/{path}")
        expect(page.locator(".jobs-page form, .jobs-page [popovertarget]")).to_have_count(0)
