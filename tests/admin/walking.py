"""Every route of the mounted site, so that a new one cannot be forgotten."""

from collections.abc import Iterator
from typing import NamedTuple

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route

from fastapi_jobs import Action
from fastapi_jobs.admin.guard import SecurityHeaders
from fastapi_jobs.admin.mounting import Mounted

SOME_ID = "019aa000-0000-7000-8000-000000000000"
OPEN = ("/login", "/logout", "/")


class Way(NamedTuple):
    """A route of ours."""

    method: str
    path: str
    action: Action


def site_routes(app: FastAPI) -> list[BaseRoute]:
    """All routes of the site that is mounted in this app."""
    [mounted] = [
        each.app
        for each in app.router.routes
        if isinstance(each, Mount) and isinstance(each.app, Mounted)
    ]
    outer = mounted._site
    assert isinstance(outer, SecurityHeaders)
    [inner] = outer.app.routes  # type: ignore[attr-defined]
    routes: list[BaseRoute] = inner.app.routes
    return routes


def ways(app: FastAPI) -> Iterator[Way]:
    """Our pages and changes, their paths filled in."""
    for route in site_routes(app):
        if isinstance(route, Route) and route.path not in OPEN:
            [method] = (route.methods or set()) - {"HEAD"}
            path = route.path.replace("{id}", SOME_ID)
            for name in route.param_convertors:
                path = path.replace(f"{{{name}}}", "some")
            yield Way(method, path, route.endpoint.action)  # type: ignore[attr-defined]
