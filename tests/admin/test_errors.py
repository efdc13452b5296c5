"""What a person sees when something is not there, not allowed, or away."""

from typing import Any

import pytest
from playwright.sync_api import expect

from fastapi_jobs.errors import NotMigrated, StoreUnavailable
from fastapi_jobs.store.store import Store
from tests.admin.conftest import Browse, Login
from tests.admin.walking import SOME_ID

AWAY = StoreUnavailable("jobs.db", "no route to host")


def raising(error: Exception) -> Any:
    async def read(*_: Any, **__: Any) -> Any:
        raise error

    return read


@pytest.mark.parametrize(
    ("path", "status", "title", "said"),
    [
        ("/nothing", 404, "There is no such page", "begin at the overview"),
        ("/jobs/nothing", 404, "There is no such page", "This is no job"),
        (f"/jobs/{SOME_ID}", 404, "There is no such page", "It may have been deleted"),
        ("/audit", 403, "You may not do this", "You may not see who changed what here."),
    ],
)
async def test_an_error_is_a_page_with_the_menu(
    login: Login, path: str, status: int, title: str, said: str
) -> None:
    visitor = await login("viewer")
    answer = await visitor.get(path)
    assert answer.status_code == status
    assert f'<h1 class="empty-title h2">{title}</h1>' in answer.text
    assert said in answer.text
    assert ("jobs-menu" in answer.text) == (path != "/nothing"), "nobody was asked who this is"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_stranger_sees_no_menu(login: Login) -> None:
    visitor = await login()
    answer = await visitor.get("/nothing")
    assert (answer.status_code, "jobs-menu" in answer.text) == (404, False)


@pytest.mark.parametrize("path", ["/jobs", f"/jobs/{SOME_ID}"])
async def test_the_database_is_away(
    login: Login, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await login("viewer")
    with monkeypatch.context() as away:
        away.setattr(Store, "read", raising(AWAY))
        answer = await visitor.get(path)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "The jobs cannot be reached now" in answer.text
    assert "The page works again as soon as the database does." in answer.text
    assert "jobs-menu" in answer.text
    assert (await visitor.get(path)).status_code in (200, 404)


async def test_the_tables_are_of_another_version(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = await login("viewer")
    monkeypatch.setattr(Store, "read", raising(NotMigrated("jobs.db", "1", "2")))
    answer = await visitor.get("/jobs")
    assert (answer.status_code, "fastapi-jobs migrate" in answer.text) == (503, True)


def test_a_live_page_says_that_it_is_old(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    page = browse("viewer")
    page.goto("/jobs-admin/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    look = "document.dispatchEvent(new Event('visibilitychange'))"
    with monkeypatch.context() as away:
        away.setattr(Store, "read", raising(AWAY))
        page.evaluate(look)
        expect(page.locator("body.jobs-stale")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
        page.goto("/jobs-admin/jobs")
        expect(page.get_by_role("heading", level=1)).to_have_text("The jobs cannot be reached now")
        again = page.get_by_role("link", name="Try again")
        expect(again).to_be_visible()
    again.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")


def test_a_session_that_ended_leads_to_the_login_and_back(browse: Browse) -> None:
    page = browse("viewer")
    page.goto("/jobs-admin/jobs?status=failed")
    page.context.clear_cookies()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_label("Name").fill("vera")
    page.get_by_label("Password").fill("a quiet harbour")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert page.url.endswith("/jobs-admin/jobs?status=failed")
