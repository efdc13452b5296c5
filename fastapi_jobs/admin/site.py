"""One admin site: SQLAdmin's shell around our pages, on its own or inside the host's."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, PackageLoader, PrefixLoader
from sqladmin import Admin
from sqladmin.application import BaseAdmin
from sqladmin.authentication import AuthenticationBackend
from sqladmin.templating import Jinja2Templates
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from fastapi_jobs.admin import showing
from fastapi_jobs.admin.guard import SecurityHeaders, refuse_strangers, token_of
from fastapi_jobs.admin.login import INSIDE, HostLogin, SettingsLogin
from fastapi_jobs.admin.pages import PAGES
from fastapi_jobs.admin.visit import Site
from fastapi_jobs.api.access import Permission
from fastapi_jobs.runtime import Runtime

TITLES = {
    403: "You may not do this",
    404: "There is no such page",
    422: "That makes no sense here",
    500: "Something went wrong",
    503: "The jobs cannot be reached now",
}
STATIC = Path(__file__).parent / "static"
KEPT = ("index", "login")
"""The routes of SQLAdmin's that our own site has; its logout and its forms have no protection."""


class JobsAdmin(Admin):
    """SQLAdmin with our templates, our guards, and none of its pages of models."""

    def __init__(self, app: Starlette, site: Site, login: AuthenticationBackend) -> None:
        self.site = site
        super().__init__(
            app,
            base_url="/",
            title=site.title,
            authentication_backend=login,
        )
        routes: list[BaseRoute] = [
            each for each in self.admin.router.routes if getattr(each, "name", "") in KEPT
        ]
        stock = Static(packages=["sqladmin"])
        self.admin.router.routes = [Mount("/statics", app=stock, name="statics"), *routes]
        # Its redirects name a scheme and a host, which a proxy may have changed.
        self.admin.router.redirect_slashes = False
        self.admin.add_route("/logout", self.logout, methods=["POST"], name="logout")
        self.admin.exception_handlers = {HTTPException: self.refusal, Exception: self.crash}

    def init_templating_engine(self) -> Jinja2Templates:
        """The host's templates win over ours, and ours over SQLAdmin's."""
        templates = super().init_templating_engine()
        theirs = templates.env.loader
        assert isinstance(theirs, ChoiceLoader)
        host, *stock = theirs.loaders
        templates.env.loader = ChoiceLoader([host, our_templates(), *stock])
        return templates

    async def refusal(self, request: Request, error: Exception) -> Response:
        """The page of a 403, a 404, a 422 or a 503."""
        assert isinstance(error, HTTPException)
        is_bare = error.detail == HTTPStatus(error.status_code).phrase
        message = "Look at the address, or begin at the overview." if is_bare else error.detail
        answer = await self.error_page(request, error.status_code, message)
        answer.headers.update(error.headers or {})
        return answer

    async def crash(self, request: Request, error: Exception) -> Response:
        """The page of what should not happen; the log has what did."""
        return await self.error_page(request, 500, "The log of the app has the traceback.")

    async def error_page(self, request: Request, status: int, message: str) -> Response:
        """An error, with the menu for whoever is logged in."""
        user = self.site.user_of(request)
        is_inside = user is not None or getattr(request.state, INSIDE, False)
        context = {
            "layout": "jobs_admin/layout.html" if is_inside else "jobs_admin/bare.html",
            "site": self.site,
            "user": user,
            "status": status,
            "title": TITLES.get(status) or HTTPStatus(status).phrase,
            "message": message,
        }
        return await self.templates.TemplateResponse(
            request, "jobs_admin/error.html", context, status_code=status
        )

    async def index(self, request: Request) -> Response:
        """The first page is the overview."""
        return RedirectResponse(self.site.url(request, "/overview"), status_code=303)

    async def login(self, request: Request) -> Response:
        """The login page, and what becomes of a try."""
        context: dict[str, Any] = {"hint": getattr(self.authentication_backend, "hint", "")}
        status = 200
        if request.method == "POST":
            await refuse_strangers(request)
            assert self.authentication_backend is not None
            answer = await self.authentication_backend.login(request)
            await self._note_try(request, answer)
            if isinstance(answer, Response):
                return answer
            if answer:
                return RedirectResponse(self._wanted(request), status_code=303)
            context["error"] = getattr(request.state, "login_error", "That was wrong.")
            status = getattr(request.state, "login_status", 401)
        return await self.templates.TemplateResponse(
            request, "jobs_admin/login.html", context, status_code=status
        )

    async def _note_try(self, request: Request, answer: Response | bool) -> None:
        """Logins, and wrong passwords; neither what goes on elsewhere, nor what was not tried."""
        status = getattr(request.state, "login_status", 401)
        if isinstance(answer, bool) and (answer or status == 401):
            name = str((await request.form()).get("username", ""))
            self.site.note(request, name, "login" if answer else "failed_login")

    def _wanted(self, request: Request) -> str:
        wanted = request.query_params.get("next", "/")
        # A path of this site only: "//host" would be another one.
        is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
        return self.site.url(request, wanted if is_ours else "/")

    async def logout(self, request: Request) -> Response:
        """Log out; by POST, so that no other site can."""
        await refuse_strangers(request)
        assert self.authentication_backend is not None
        who = await self.authentication_backend.get_user_id(request)
        answer = await self.authentication_backend.logout(request)
        if who is not None:
            self.site.note(request, str(who), "logout")
        if isinstance(answer, Response):
            return answer
        return RedirectResponse(self.site.url(request, "/login"), status_code=303)


def our_templates() -> PrefixLoader:
    """Ours, by names that begin with jobs_admin/."""
    return PrefixLoader({"jobs_admin": PackageLoader("fastapi_jobs.templates", "jobs_admin")})


def add_pages(admin: BaseAdmin, site: Site) -> None:
    """Put our pages, static files and words for templates into an SQLAdmin."""
    showing.add_to(admin.templates.env, site)
    admin.templates.env.globals["csrf_token"] = token_of
    admin.admin.router.routes.append(Mount("/jobs-static", app=Static(directory=STATIC)))
    for page in PAGES:
        # SQLAdmin keeps what it knows on the class: each site has its own.
        admin.add_view(type(page.__name__, (page,), {"site": site}))


class Static(StaticFiles):
    """Our files, under addresses that change with the version."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """A file that browsers may keep."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def own_site(
    runtime: Runtime, login: AuthenticationBackend | None, permission: Permission | None
) -> ASGIApp:
    """An app that is our site and nothing else."""
    site = Site(runtime, title_of(runtime), permission, is_own=True)
    inner = Starlette()
    guard = SettingsLogin(runtime.settings) if login is None else HostLogin(login)
    add_pages(JobsAdmin(inner, site, guard), site)
    return SecurityHeaders(inner)


def join(admin: Admin, runtime: Runtime, permission: Permission | None) -> None:
    """Our pages in the host's SQLAdmin."""
    loader = admin.templates.env.loader
    assert isinstance(loader, ChoiceLoader)
    loader.loaders = [*loader.loaders, our_templates()]
    add_pages(admin, Site(runtime, title_of(runtime), permission, is_own=False))


def title_of(runtime: Runtime) -> str:
    """What the pages call the jobs of this app."""
    return runtime.settings.name or "Jobs"
