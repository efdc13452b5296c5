"""Every page of the menu in Chromium."""

from playwright.sync_api import expect

from tests.admin.conftest import Browse


def test_the_menu_leads_everywhere(browse: Browse) -> None:
    page = browse()
    page.goto("/jobs-admin/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    for name in page.locator(".jobs-menu li a").all_inner_texts():
        page.locator(".jobs-menu").get_by_role("link", name=name.strip()).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name.strip())
