"""How the admin site comes into an app; SQLAdmin is loaded when the first page is asked for."""

from functools import cached_property
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_jobs.api.access import Permission
from fastapi_jobs.api.guard import OPEN_ENVIRONMENTS, checked_prefix
from fastapi_jobs.errors import InvalidOption, SettingsError, SettingsProblem
from fastapi_jobs.runtime import Runtime

if TYPE_CHECKING:
    from sqladmin import Admin
    from sqladmin.authentication import AuthenticationBackend


def mount_admin(
    app: FastAPI,
    runtime: Runtime,
    *,
    prefix: str,
    login: "AuthenticationBackend | None",
    permission: Permission | None,
) -> None:
    """Mount a site of its own.

    Raises:
        InvalidOption: the prefix is no path.
    """
    if not checked_prefix(prefix):
        raise InvalidOption("prefix", prefix, "the admin site needs one, such as '/jobs-admin'.")

    async def to_site(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}{prefix}/", status_code=303)

    # Starlette's own redirect to a mount names a scheme and a host, which a proxy may have changed.
    app.add_route(prefix, to_site, include_in_schema=False)
    app.mount(prefix, Mounted(runtime, login, permission))


def register_admin(admin: "Admin", runtime: Runtime, permission: Permission | None) -> None:
    """Add our pages to the host's SQLAdmin.

    Raises:
        SettingsError: nobody guards it.
    """
    from fastapi_jobs.admin.site import join

    settings = runtime.settings
    is_open = settings.environment in OPEN_ENVIRONMENTS or settings.api_open
    if admin.authentication_backend is None and permission is None and not is_open:
        raise SettingsError([_unguarded(runtime)])
    join(admin, runtime, permission)


def _unguarded(runtime: Runtime) -> SettingsProblem:
    return SettingsProblem(
        "admin.enabled",
        runtime.settings.origins.get("admin.enabled", "defaults"),
        "true",
        f"in environment {runtime.settings.environment!r} the admin pages need a login.",
        "Give your Admin an authentication_backend, or register_admin(admin, permission=...).",
    )


class Mounted:
    """Our own site under any prefix, root path and name of a mount: its links are its own."""

    def __init__(
        self,
        runtime: Runtime,
        login: "AuthenticationBackend | None",
        permission: Permission | None,
    ) -> None:
        self._runtime, self._login, self._permission = runtime, login, permission

    @cached_property
    def _site(self) -> ASGIApp:
        from fastapi_jobs.admin.site import own_site

        return own_site(self._runtime, self._login, self._permission)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A copy keeps our session out of theirs. SQLAdmin's links begin at the outermost app.
        scope, root = dict(scope), scope.get("root_path", "")
        if not scope["path"].startswith(root):
            # A proxy took away the root path that FastAPI(root_path=...) has; a mount needs it.
            scope["path"] = scope.get("app_root_path", "") + scope["path"]
        scope["app_root_path"] = root
        scope.pop("router", None)
        await self._site(scope, receive, send)
