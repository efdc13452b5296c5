"""The pages of the example in a real Chromium, as a person clicks through them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from example_project import samples
from run import BROWSER_VARIABLE, find_browser
from tests.example.running import Example
from tests.example.test_example import client
from tests.servers import free_port

pytestmark = pytest.mark.slow

PHONE, DESK = (390, 844), (1280, 900)
TRIES = [(1, 503), (2, 500), (3, 200)]
LIMIT_MS = 60_000


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """The example that these tests share keeps its process children between them."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the example serves."""
    port = str(free_port())
    folder = tmp_path_factory.mktemp("browser")
    with Example(folder, "--port", port, "--jobs", "0") as example:
        with client(port):
            yield f"http://127.0.0.1:{port}"
        example.interrupt()
        assert example.end() == 0, example.output
    assert "Traceback" not in example.output


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get(BROWSER_VARIABLE) or find_browser()
    if program is None:
        pytest.fail(f"No Chromium or Chrome was found: install one, or set {BROWSER_VARIABLE}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    """The first page on a phone. The script must not fail, nor the policy forbid anything."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": PHONE[0], "height": PHONE[1]}, base_url=base, color_scheme="dark"
    )
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.goto("/")
    yield page
    context.close()
    # An answer such as 409 is shown to the person; Chromium notes it all the same.
    assert [
        each for each in complaints if "the server responded with a status of" not in each
    ] == []


def be(page: Page, name: str) -> None:
    page.goto("/")
    page.get_by_role("button", name=name, exact=True).click()
    button = page.get_by_role("button", name=name, exact=True)
    expect(button).to_have_attribute("aria-current", "true")


def start(page: Page, button: str) -> None:
    page.goto("/")
    page.get_by_role("button", name=button, exact=True).click()


def start_something_long(page: Page) -> None:
    """The Mandelbrot set with so many points that nobody comes too late to cancel it."""
    page.goto("/")
    page.locator("form[action*=seahorses]").evaluate("form => { form.action += '&width=1600' }")
    page.get_by_role("button", name="Seahorses", exact=True).click()


def soon(page: Page, text: str) -> None:
    """The page comes to show this by itself."""
    expect(page.get_by_text(text)).to_be_visible(timeout=LIMIT_MS)


def test_upload_a_picture_and_watch(page: Page, tmp_path: Path) -> None:
    picture = tmp_path / "mine.png"
    picture.write_bytes(samples.draw_picture(5).read_bytes())
    page.get_by_label("Your picture").set_input_files(picture)
    page.get_by_role("button", name="Send it").click()
    soon(page, "5 thumbnails were made.")
    images = page.locator(".pictures img")
    expect(images).to_have_count(5)
    for image in images.all():
        expect(image).to_have_js_property("complete", True)
    widths = images.evaluate_all("images => images.map(image => image.naturalWidth)")
    assert widths == [64, 128, 256, 512, 1024]


def test_a_webhook_is_tried_until_it_arrives(page: Page) -> None:
    start(page, "Deliver one")
    soon(page, "The receiver answered 200 to attempt 3.")
    answers = [f"Attempt {n}: receiver answered, status {s}" for n, s in TRIES]
    expect(page.locator(".steps li")).to_have_text(answers)


def test_a_report_and_its_file(page: Page) -> None:
    start(page, "300,000 orders")
    soon(page, "300,000 orders brought")
    with page.expect_download() as download:
        page.get_by_role("link", name="sales-2026-01.csv").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert len(text.splitlines()) == 300_001


def test_the_mandelbrot_set_grows_and_can_be_cancelled(page: Page) -> None:
    start_something_long(page)
    # The script changed the page: this text is not in what the server sent first.
    expect(page.get_by_text(re.compile(r"row [1-9]\d* of \d+"))).to_be_visible(timeout=LIMIT_MS)
    assert 0 < page.locator("progress").evaluate("bar => bar.value / bar.max") <= 1
    page.get_by_role("button", name="Cancel it").click()
    expect(page.locator(".status")).to_have_text("cancelled", timeout=LIMIT_MS)
    expect(page.get_by_role("button", name="Run it again")).to_be_visible(timeout=LIMIT_MS)


def test_a_button_outlives_a_change_around_it(page: Page) -> None:
    start_something_long(page)
    cancel = page.get_by_role("button", name="Cancel it").element_handle()
    page.get_by_role("button", name="Cancel it").focus()
    for _ in range(2):
        told = page.locator(".one > p").nth(1).inner_text()
        expect(page.locator(".one > p").nth(1)).not_to_have_text(told, timeout=LIMIT_MS)
    assert cancel.evaluate("button => button === document.activeElement")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("cancelled", timeout=LIMIT_MS)


def test_an_order_with_its_jobs_or_none(page: Page) -> None:
    be(page, "Ada")
    start(page, "Order 99 cups: too many")
    soon(page, "99 pieces are too many")
    page.get_by_role("link", name="Back to all").click()
    soon(page, "None yet: start one above.")
    start(page, "Order 2 teas")
    page.get_by_role("link", name="Back to all").click()
    expect(page.locator(".jobs .job")).to_have_text(["Invoice", "Webhook"])
    expect(page.locator(".jobs .succeeded")).to_have_count(2, timeout=LIMIT_MS)
    be(page, "Ben")
    soon(page, "None yet: start one above.")
    be(page, "Staff")
    soon(page, "Everybody’s latest jobs")
    expect(page.locator(".jobs li").filter(has_text="ada ·")).to_have_count(2)


def test_nothing_sticks_out(page: Page) -> None:
    start(page, "Use our poster")
    soon(page, "5 thumbnails were made.")
    for path in (page.url, "/"):
        page.goto(path)
        for width in (320, PHONE[0], DESK[0]):
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} at {width} px"


def test_without_a_script_the_page_comes_again(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=base)
    page = context.new_page()
    page.goto("/")
    start(page, "All of it")
    soon(page, "240,000 points were computed.")
    expect(page.get_by_alt_text("whole.png")).to_have_js_property("naturalWidth", 600)
    context.close()
