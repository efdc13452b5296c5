"""What `init_app` adds to a host's app beside the router."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_jobs.api.problems import ProblemError, problem_of, render
from fastapi_jobs.current import choose, unchoose
from fastapi_jobs.errors import FastAPIJobsError, QueueFull, StoreUnavailable
from fastapi_jobs.runtime import Runtime

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]


class CurrentJobs:
    """ASGI middleware: whoever serves a request of this app enqueues with its FastAPIJobs."""

    __slots__ = ("app", "runtime")

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self.app, self.runtime = app, runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = choose(self.runtime)
        try:
            await self.app(scope, receive, send)
        finally:
            unchoose(chosen)


def wire(app: FastAPI, runtime: Runtime, ours: Lifespan) -> None:
    """Make `runtime` current in the app's requests, and nest `ours` inside the app's lifespan."""
    app.add_middleware(CurrentJobs, runtime=runtime)
    app.add_exception_handler(ProblemError, render)
    for kind in (QueueFull, StoreUnavailable):
        # The host's own endpoints enqueue too: "not now" is an answer, not a server's failure.
        app.exception_handlers.setdefault(kind, _render_refusal)
    _describe_all_tasks(app, runtime)
    app.router.lifespan_context = nested(app.router.lifespan_context, ours)


def _describe_all_tasks(app: FastAPI, runtime: Runtime) -> None:
    """OpenAPI has the tasks of `task_modules` also where the app was not started: in a script that
    writes the schema to a file.
    """
    theirs = app.openapi

    def openapi() -> dict[str, Any]:
        runtime.load_tasks()
        return theirs()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation extends it


async def _render_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, FastAPIJobsError)
    problem = problem_of(error)
    assert problem is not None
    return await render(request, problem)


def nested(theirs: Lifespan, ours: Lifespan) -> Lifespan:
    """Theirs enters first and leaves last, and what it yields stays the app's state."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Mapping[str, Any] | None]:
        async with theirs(app) as state, ours(app):
            yield state

    return lifespan
