"""axe-core finds nothing serious on any page, in either theme, at a desk or on a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from fastapi_jobs.admin.site import STATIC
from tests.admin.conftest import SIZES, Browse
from tests.admin.filled import fill
from tests.admin.serving import Served
from tests.admin.walking import SOME_ID, ways

AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
RUN = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => [each.id, each.help, ...each.nodes.slice(0, 5).map((node) => node.html)]);
}"""
WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def paths(served: Served) -> list[str]:
    """Every page that a browser shows, of jobs that there are."""
    ids = served.run(fill(served.jobs))
    found = []
    for way in ways(served.app):
        is_file = any(part in way.path for part in (".", "export", "/files/"))
        if way.method == "GET" and not is_file:
            found += [
                way.path.replace(SOME_ID, str(each))
                for each in ids[: 2 if SOME_ID in way.path else 1]
            ]
    return [*found, "/nothing", f"/jobs/{SOME_ID}"]


def problems_of(page: Page, path: str) -> Iterator[Any]:
    page.goto(f"/jobs-admin{path}")
    page.evaluate(AXE)
    for problem in page.evaluate(RUN):
        yield (path, *problem)
    if page.evaluate(WIDE) > 0:
        yield (path, "the page scrolls sideways")
    if page.locator("h1").count() != 1:
        yield (path, "there is not one h1")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_for_everybody(
    browse: Browse, paths: list[str], size: str, theme: str
) -> None:
    page = browse("admin", size, theme)
    assert len(paths) >= 8
    found = [problem for path in paths for problem in problems_of(page, path)]
    outside = browse(None, size, theme)
    found += problems_of(outside, "/login")
    outside.get_by_label("Name").fill("anna")
    outside.get_by_label("Password").fill("wrong")
    outside.get_by_role("button", name="Log in").click()
    outside.get_by_role("alert").wait_for()
    outside.evaluate(AXE)
    found += outside.evaluate(RUN)
    assert found == []
    assert page.locator("html").get_attribute("data-bs-theme") == theme


def test_the_shell_by_keyboard_and_on_a_phone(browse: Browse) -> None:
    page = browse("viewer", "phone")
    page.goto("/jobs-admin/overview")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    assert skip.evaluate("link => link === document.activeElement")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    menu = page.get_by_role("button", name="Menu")
    menu.focus()
    assert menu.get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    assert menu.get_attribute("aria-expanded") == "true"
    page.get_by_role("button", name="Light or dark").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.locator(".jobs-menu").get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("heading", level=1, name="Jobs").wait_for()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark", "it is remembered"


def test_the_style_sheet_is_whole() -> None:
    """A brace that a merge lost takes the rules after it away."""
    css = (STATIC / "jobs.css").read_text("utf-8")
    depth = 0
    for number, line in enumerate(css.splitlines(), 1):
        assert depth == 0 or line.startswith((" ", "}")), f"line {number}: a block is still open"
        depth += line.count("{") - line.count("}")
    assert depth == 0
    heads = [line for line in css.splitlines() if line.startswith("/*")]
    assert len(heads) == len(set(heads))
