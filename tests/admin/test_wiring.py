"""The site in apps of every shape: under a path, behind a proxy, beside and inside SQLAdmin."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx2 import ASGITransport, Response
from sqladmin import Admin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse

from fastapi_jobs import Action, FastAPIJobs
from fastapi_jobs.errors import InvalidOption, SettingsError
from tests.admin.host import HostLogin, ParcelAdmin, host_admin
from tests.admin.serving import PASSWORD, Site, Visitor, make_jobs, started
from tests.admin.walking import ways

LINK = re.compile(r'\b(?:href|src|action)="([^"]*)"')


def links_of(answer: Response) -> set[str]:
    """Where a page leads, and what it loads, but for places on itself."""
    assert answer.status_code == 200, answer.text
    return {link for link in LINK.findall(answer.text) if not link.startswith("#")}


async def every_link(site: Site, visitor: Visitor) -> set[str]:
    """The links of all pages of the menu, each of which answers."""
    found: set[str] = set()
    for way in ways(site.app):
        if way.method == "GET" and "/" not in way.path[1:]:
            found |= links_of(await visitor.get(way.path))
    return found


async def holds(site: Site, prefix: str, **transport: Any) -> None:
    """Every link begins at `prefix`, and everything that a page loads is there."""
    async with site.visitor("admin", **transport) as visitor:
        links = await every_link(site, visitor)
        assert len(links) > 10
        assert [link for link in links if not link.startswith(f"{prefix}/")] == []
        for link in links:
            answer = await visitor.get(f"{site.base}{link}")
            assert answer.status_code in (200, 303, 405), link
        for path in (prefix, f"{prefix}/"):
            answer = await visitor.get(site.base + path)
            assert answer.headers["location"] in (f"{prefix}/", f"{prefix}/overview")
        left = await visitor.change("/logout")
        assert left.headers["location"] == f"{prefix}/login"
        asked = await visitor.get("/jobs")
        assert asked.headers["location"] == f"{prefix}/login?next=%2Fjobs"


async def test_at_its_prefix(site: Site) -> None:
    await holds(site, "/jobs-admin")


async def test_at_another_prefix(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url, admin_prefix="/back/office"), FastAPI()
    jobs.init_app(app)
    async with started(jobs, app) as site:
        site.prefix = "/back/office"
        await holds(site, "/back/office")


async def test_under_a_root_path_that_the_server_adds(site: Site) -> None:
    """As uvicorn does: the path that the app gets begins with it."""
    site.prefix = "/api/jobs-admin"
    await holds(site, "/api/jobs-admin", root_path="/api")


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
async def test_under_a_root_path_that_a_proxy_takes_away(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI(root_path="/api")
    jobs.init_app(app)
    async with started(jobs, app) as site, site.visitor("admin") as visitor:
        links = await every_link(site, visitor)
        assert [link for link in links if not link.startswith("/api/jobs-admin/")] == []
        asked = await visitor.get("/audit")
        assert asked.status_code == 200
        answer = await visitor.get("http://test/jobs-admin")
        assert answer.headers["location"] == "/api/jobs-admin/"


async def test_behind_a_proxy_that_ends_tls(site: Site) -> None:
    """No address names a host or a scheme, which the proxy may have changed."""
    site.base = "http://10.0.0.7:8000"
    async with site.visitor("admin") as visitor:
        assert [link for link in await every_link(site, visitor) if "//" in link] == []
        for path in (site.prefix, "/jobs-admin/", "/jobs-admin/overview/", "/jobs-admin/logout"):
            answer = await visitor.get(site.base + path)
            assert "//" not in answer.headers.get("location", ""), path


async def test_in_an_app_that_is_mounted(sqlite_url: str) -> None:
    jobs, shop = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(shop)
    outer = FastAPI(lifespan=jobs.lifespan)
    outer.mount("/shop", shop, name="shop")
    async with outer.router.lifespan_context(outer):
        inner = Site(shop, jobs)

        @asynccontextmanager
        async def visitor(role: str | None = None) -> AsyncIterator[Visitor]:
            base = "http://test/shop/jobs-admin"
            async with Visitor(transport=ASGITransport(app=outer), base_url=base) as each:
                assert role is None or (await each.log_in("anna")).status_code == 303
                yield each

        async with visitor("admin") as each:
            links = await every_link(inner, each)
            assert [link for link in links if not link.startswith("/shop/jobs-admin/")] == []


async def test_beside_another_sqladmin(sqlite_url: str) -> None:
    engine = create_engine("sqlite://")
    jobs, app = make_jobs(sqlite_url), FastAPI()
    theirs = Admin(app, engine, title="Of the host")
    theirs.add_view(ParcelAdmin)
    jobs.init_app(app)
    async with started(jobs, app) as site, site.visitor("admin") as visitor:
        links = await every_link(site, visitor)
        assert [link for link in links if not link.startswith("/jobs-admin/")] == []
        page = await visitor.get("http://test/admin/")
        assert "Of the host" in page.text
        assert "jobs-admin" not in page.text
        assert 'href="http://test/admin/parcel/list"' in page.text
    engine.dispose()


@asynccontextmanager
async def inside(
    jobs: FastAPIJobs, login: AuthenticationBackend | None, **options: Any
) -> AsyncIterator[Site]:
    """Our pages in the host's SQLAdmin."""
    app = FastAPI()
    admin = host_admin(app, login)
    jobs.init_app(app, admin=False)
    jobs.register_admin(admin, **options)
    async with started(jobs, app) as site:
        site.prefix = "/admin"
        yield site


async def test_inside_the_hosts_sqladmin(sqlite_url: str) -> None:
    async with inside(make_jobs(sqlite_url), HostLogin("secret")) as site, site.visitor() as each:
        for path in ("/overview", "/jobs", "/audit"):
            asked = await each.get(path)
            assert (asked.status_code, "login" in asked.headers["location"]) == (302, True), path
        fields = {"username": "ada", "password": PASSWORD}
        assert (await each.post("/login", data=fields)).status_code == 302
        for path in ("/overview", "/jobs", "/queues", "/workers", "/tasks", "/audit"):
            page = await each.get(path)
            assert page.status_code == 200, path
            assert "Of the host" in page.text
            assert 'href="http://test/admin/parcel/list"' in page.text
            for link in set(re.findall(r'"(/admin/jobs-static/[^"]+)"', page.text)):
                assert (await each.get(f"http://test{link}")).status_code == 200
        await each.load_token("/tasks")
        assert (await each.post("/queues/mail/none")).status_code in (404, 405)


async def test_inside_the_hosts_sqladmin_the_hook_decides(sqlite_url: str) -> None:
    asked: list[Action] = []

    def permission(request: Request, action: Action, _job: Any) -> bool:
        asked.append(action)
        return action in (Action.STATS, Action.LIST)

    jobs = make_jobs(sqlite_url)
    async with inside(jobs, None, permission=permission) as site, site.visitor() as each:
        assert (await each.get("/jobs")).status_code == 200
        refused = await each.get("/audit")
        assert (refused.status_code, "You may not see who changed what" in refused.text) == (
            403,
            True,
        )
    assert {Action.LIST, Action.AUDIT} <= set(asked)


def test_inside_a_sqladmin_that_nobody_guards(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text("[production.fastapi_jobs]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    jobs = make_jobs(sqlite_url)
    with pytest.raises(SettingsError) as refused:
        jobs.register_admin(host_admin(FastAPI(), None))
    assert (
        "admin.enabled = true (defaults.toml): in environment 'production' the admin pages need "
        "a login. Give your Admin an authentication_backend, or register_admin(admin, "
        "permission=...)."
    ) in str(refused.value)
    jobs.register_admin(host_admin(FastAPI(), HostLogin("secret")))
    jobs.register_admin(host_admin(FastAPI(), None), permission=lambda *_: False)
    make_jobs(sqlite_url, api_open=True).register_admin(host_admin(FastAPI(), None))


class Away(HostLogin):
    """A login that leads elsewhere itself."""

    async def authenticate(self, request: Request) -> Any:
        return RedirectResponse("https://login.test/")


@pytest.mark.parametrize(
    ("login", "to"), [(HostLogin, "/jobs-admin/login?next=%2Fjobs"), (Away, "https://login.test/")]
)
async def test_the_hosts_login_before_our_site(
    login: type[HostLogin], to: str, sqlite_url: str
) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app, admin=False)
    jobs.mount_admin(app, login=login("secret"), permission=lambda *asked: asked[1] != "audit")
    async with started(jobs, app) as site, site.visitor() as visitor:
        assert (await visitor.get("/jobs")).headers["location"] == to
        live = await visitor.get("/jobs", headers={"X-Jobs-Live": "1"})
        assert live.status_code == 401
        if login is HostLogin:
            wrong = await visitor.log_in("ada", "wrong")
            assert (wrong.status_code, "That was wrong." in wrong.text) == (401, True)
            await visitor.log_in("ada")
            assert (await visitor.get("/jobs")).status_code == 200
            refused = await visitor.get("/audit")
            assert (refused.status_code, "jobs-menu" in refused.text) == (403, True)


async def test_the_hosts_templates_win(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "templates" / "jobs_admin"
    own.mkdir(parents=True)
    (own / "audit.html").write_text("{% extends layout %}{% block page %}Of ours{% endblock %}")
    monkeypatch.chdir(tmp_path)
    async with started(make_jobs(sqlite_url)) as site, site.visitor("admin") as visitor:
        page = (await visitor.get("/audit")).text
        assert "Of ours" in page
        assert "jobs-menu" in page
        assert "Of ours" not in (await visitor.get("/jobs")).text
    async with inside(make_jobs(sqlite_url), None) as site, site.visitor() as visitor:
        assert "Of ours" in (await visitor.get("/audit")).text


async def test_the_hosts_own_session_stays(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)
    app.add_middleware(SessionMiddleware, secret_key="of the host")

    @app.get("/basket")
    async def basket(request: Request) -> dict[str, Any]:
        request.session["seen"] = request.session.get("seen", 0) + 1
        return dict(request.session)

    async with started(jobs, app) as site, site.visitor() as visitor:
        assert (await visitor.get("http://test/basket")).json() == {"seen": 1}
        await visitor.log_in("anna")
        assert (await visitor.get("/jobs")).status_code == 200
        assert (await visitor.get("http://test/basket")).json() == {"seen": 2}
        await visitor.change("/logout")
        assert (await visitor.get("http://test/basket")).json() == {"seen": 3}


async def test_not_mounted(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url, admin={"enabled": False}), FastAPI()
    jobs.init_app(app)
    async with started(jobs, app) as site, site.visitor() as visitor:
        assert (await visitor.get("/login")).status_code == 404
    with pytest.raises(InvalidOption, match="the admin site needs one, such as '/jobs-admin'"):
        jobs.mount_admin(FastAPI(), prefix="")
