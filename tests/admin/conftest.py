"""Fixtures of the admin site: `site` and `login` over HTTP, `served`, `browse` and `page` to click.

A module that wants its own app to click through overrides `served`.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fastapi_jobs.admin.throttle import Throttle
from run import BROWSER_VARIABLE, find_browser
from tests.admin.serving import Served, Site, Visitor, make_jobs, serving, started
from tests.conftest import GRACE, leftovers
from tests.servers import wait_until

SIZES = {"desktop": (1280, 850), "phone": (390, 800)}
LIMIT_MS = 30_000
expect.set_options(timeout=LIMIT_MS)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """As for every test, but for an app that a module serves to its browser."""
    yield
    if not Served.alive:
        wait_until(lambda: not leftovers(), GRACE, lambda: f"left behind: {leftovers()}")


@pytest.fixture
async def site(sqlite_url: str) -> AsyncIterator[Site]:
    """A started app on SQLite that runs jobs, with a user of each role."""
    async with started(make_jobs(sqlite_url)) as each:
        yield each


class Login(Protocol):
    """`await login("viewer")`; without a role somebody who has not logged in."""

    async def __call__(self, role: str | None = None) -> Visitor: ...


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The throttle's clock stands still; ask for it before the site is made."""
    monkeypatch.setattr(Throttle.__init__, "__defaults__", (lambda: 1000.0,))


@pytest.fixture
async def login(site: Site) -> AsyncIterator[Login]:
    """Visitors of `site`, by role."""
    async with AsyncExitStack() as visitors:

        async def enter(role: str | None = None) -> Visitor:
            return await visitors.enter_async_context(site.visitor(role))

        yield enter


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same kind of app, for a browser."""
    url = f"sqlite:///{tmp_path_factory.mktemp('served') / 'jobs.db'}"
    jobs, app = make_jobs(url), FastAPI()
    jobs.init_app(app)
    with serving(app, jobs) as each:
        yield each


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    program = os.environ.get(BROWSER_VARIABLE) or find_browser()
    if program is None:
        pytest.fail(f"No Chromium or Chrome was found: install one, or set {BROWSER_VARIABLE}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=120_000)
        yield browser
        browser.close()


class Browse(Protocol):
    """`browse("viewer", "phone", "dark")`: a page of a fresh browser; None has not logged in."""

    def __call__(
        self, role: str | None = "admin", size: str = "desktop", theme: str = "light"
    ) -> Page: ...


@pytest.fixture
def browse(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[Browse]:
    """Pages that may neither complain on the console nor ask another host for anything.

    Go to a path of the site: `page.goto("/jobs-admin/jobs")`.
    """
    complaints: list[str] = []
    pages: list[Page] = []
    request.node.stash[PAGES] = pages
    with ExitStack() as contexts:

        def open_page(
            role: str | None = "admin", size: str = "desktop", theme: str = "light"
        ) -> Page:
            width, height = SIZES[size]
            context = browser.new_context(
                base_url=served.url,
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
            )
            contexts.callback(context.close)
            context.set_default_timeout(LIMIT_MS)
            if role is not None:
                context.add_cookies([served.cookie_of(role)])  # type: ignore[list-item]
            page = context.new_page()
            listen(page, served.url, complaints.append)
            pages.append(page)
            return page

        yield open_page
    assert complaints == []


@pytest.fixture
def page(browse: Browse) -> Page:
    """A page at a desk, in light colours, of somebody who may do everything."""
    return browse()


def listen(page: Page, url: str, complain: Callable[[str], None]) -> None:
    """Hear what a page should not do."""
    own = urlsplit(url).netloc

    def hear(said: Any) -> None:
        # An answer such as 404 is shown to the person; Chromium notes it all the same.
        if said.type in ("error", "warning") and "responded with a status of" not in said.text:
            complain(f"{said.type}: {said.text}")

    def see(asked: Any) -> None:
        parts = urlsplit(asked.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != own:
            complain(f"asked another host: {asked.url}")

    page.on("pageerror", lambda error: complain(str(error)))
    page.on("console", hear)
    page.on("request", see)


PAGES = pytest.StashKey[list[Page]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the browser showed when a test failed."""
    report = yield
    if report.when == "call" and report.failed:
        folder = Path(tempfile.gettempdir()) / "fastapi-jobs-screenshots"
        name = re.sub(r"[^-.\w]+", "_", item.name)
        pages: list[Page] = item.stash.get(PAGES, [])
        for number, page in enumerate(pages):
            path = folder / f"{name}-{number}.png"
            page.screenshot(path=path, full_page=True)
            report.sections.append(("screenshot", f"{path} of {page.url}"))
    return report
