"""The rules that keep the site safe, one by one, over every route that it has."""

from typing import Any

import pytest
from starlette.routing import Mount, Route

from fastapi_jobs import Action
from fastapi_jobs.admin.guard import HEADERS
from fastapi_jobs.admin.roles import ACTS, GRANTS, LOOKS
from tests.admin.conftest import Login
from tests.admin.serving import Site
from tests.admin.walking import OPEN, SOME_ID, Way, site_routes, ways

CHANGES = {
    Action.CREATE,
    Action.CANCEL,
    Action.RETRY,
    Action.EDIT,
    Action.DELETE,
    Action.BULK,
    Action.PAUSE,
    Action.RESUME,
    Action.LIMITS,
    Action.QUIET,
}
FORMS = ("/jobs/change", f"/jobs/{SOME_ID}/edit", f"/jobs/{SOME_ID}/clone")
"""Pages that ask before a change; they are for those who may make it, and change nothing."""

REFUSED = "Nothing was changed"
SCRIPT = "<script>document.title='caught'</script>"


def changing(site: Site) -> list[Way]:
    return [way for way in ways(site.app) if way.method == "POST"]


def showing(site: Site) -> list[Way]:
    return [way for way in ways(site.app) if way.method == "GET"]


def test_each_role_may_do_what_the_ones_below_may() -> None:
    assert GRANTS["viewer"] < GRANTS["operator"] < GRANTS["admin"] == set(Action)
    assert CHANGES.isdisjoint(LOOKS)
    assert ACTS.isdisjoint({Action.DELETE, Action.LIMITS, Action.QUIET})


async def test_a_page_only_looks_and_a_change_is_a_post(site: Site) -> None:
    found = list(ways(site.app))
    assert {way.method for way in found} == {"GET", "POST"}
    odd = [way for way in found if (way.method == "POST") != (way.action in CHANGES)]
    assert {(way.method, way.path) for way in odd} == {("GET", path) for path in FORMS}


async def test_nothing_of_stock_sqladmin_is_left(site: Site, login: Login) -> None:
    routes = site_routes(site.app)
    assert [each.path for each in routes if isinstance(each, Mount)] == ["/statics", "/jobs-static"]
    plain = [each for each in routes if isinstance(each, Route)]
    assert [each.path for each in plain if not hasattr(each.endpoint, "action")] == [
        "/",
        "/login",
        "/logout",
    ]
    visitor = await login("admin")
    for path in ("/job/list", "/job/create", "/job/details/1", "/job/export/csv"):
        assert (await visitor.get(path)).status_code == 404, path


async def test_every_page_needs_a_login(site: Site, login: Login) -> None:
    visitor = await login()
    for way in showing(site):
        answer = await visitor.get(way.path)
        assert answer.status_code == 303, way
        assert answer.headers["location"].startswith("/jobs-admin/login?next="), way
        head = await visitor.head(way.path)
        assert head.status_code == 303, way


async def test_every_change_needs_a_login(site: Site, login: Login) -> None:
    visitor = await login()
    await visitor.load_token("/login")
    for way in changing(site):
        answer = await visitor.change(way.path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs-admin/login"), way


async def test_a_change_is_never_a_get(site: Site, login: Login) -> None:
    visitor = await login("admin")
    for way in changing(site):
        answer = await visitor.get(way.path)
        known = {each.path for each in showing(site)}
        assert way.path in known or answer.status_code in (404, 405), way


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://test.evil.test"},
    ],
    ids=str,
)
async def test_no_change_comes_from_another_site(
    site: Site, login: Login, headers: dict[str, str]
) -> None:
    """Even with the right token and the cookie."""
    visitor = await login("admin")
    for way in changing(site):
        answer = await visitor.post(way.path, data={"csrf": visitor.token}, headers=headers)
        assert (answer.status_code, REFUSED in answer.text) == (403, True), way


@pytest.mark.parametrize(
    "token", [None, "", "wrong", "é", "a" * 10_000], ids=lambda token: str(token)[:9]
)
async def test_no_change_without_the_right_token(
    site: Site, login: Login, token: str | None
) -> None:
    visitor = await login("admin")
    fields = {} if token is None else {"csrf": token}
    for way in changing(site):
        answer = await visitor.post(way.path, data=fields)
        assert (answer.status_code, REFUSED in answer.text) == (403, True), way
    other = await login("operator")
    for way in changing(site):
        answer = await visitor.post(way.path, data={"csrf": other.token})
        assert answer.status_code == 403, way


async def test_the_token_may_be_a_header(site: Site, login: Login) -> None:
    visitor = await login("admin")
    path = f"/jobs/{SOME_ID}/cancel"
    for headers, status in (
        ({"X-CSRF-Token": visitor.token}, 404),
        ({"X-CSRF-Token": visitor.token, "Sec-Fetch-Site": "same-origin"}, 404),
        ({"X-CSRF-Token": visitor.token, "Origin": "http://test"}, 404),
        ({"X-CSRF-Token": "wrong"}, 403),
    ):
        assert (await visitor.post(path, headers=headers)).status_code == status, headers


@pytest.mark.parametrize("role", GRANTS)
async def test_a_role_is_asked_on_the_server(site: Site, login: Login, role: str) -> None:
    """Routes called directly, whatever the pages show."""
    visitor = await login(role)
    for way in ways(site.app):
        if way.method == "POST":
            answer = await visitor.change(way.path)
        else:
            answer = await visitor.get(way.path)
        if way.action in GRANTS[role]:
            assert answer.status_code not in (401, 403, 500), way
        else:
            assert (answer.status_code, "You may not" in answer.text) == (403, True), way


@pytest.mark.parametrize("role", GRANTS)
async def test_the_menu_shows_what_may_be_seen(site: Site, login: Login, role: str) -> None:
    page = (await (await login(role)).get("/overview")).text
    menu = page.partition('<nav id="jobs-menu"')[2].partition("</nav>")[0]
    assert ("Audit" in menu) == (Action.AUDIT in GRANTS[role])


@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
@pytest.mark.parametrize("site_", ["cross-site", "same-site"])
async def test_no_page_is_loaded_into_another_site(
    site: Site, login: Login, mode: str, site_: str
) -> None:
    visitor = await login("admin")
    where = {"Sec-Fetch-Site": site_, "Sec-Fetch-Mode": mode}
    for way in showing(site):
        for dest in ("iframe", "image", "script", "empty"):
            answer = await visitor.get(way.path, headers=where | {"Sec-Fetch-Dest": dest})
            assert answer.status_code == 403, (way, dest)
    led = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": site_}
    assert (await visitor.get("/jobs", headers=led)).status_code == 200, "a link in a mail works"


async def test_every_answer_has_our_headers(site: Site, login: Login) -> None:
    visitor = await login("admin")
    paths = [*OPEN, *(way.path for way in showing(site)), "/nothing", "/jobs-static/jobs.css"]
    for path in paths:
        answer = await visitor.get(path)
        kept = path.startswith("/jobs-static") and "max-age" in answer.headers["cache-control"]
        for name, value in HEADERS.items():
            if not (kept and name == "Cache-Control"):
                assert answer.headers.get(name) == value, (path, name)


async def test_a_crash_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the house")

    async with site.visitor("viewer", raise_app_exceptions=False) as visitor:
        monkeypatch.setattr(type(site.jobs.runtime.store), "read", crash)
        answer = await visitor.get("/jobs")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
