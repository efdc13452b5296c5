"""How every route of ours answers: with the current FastAPIJobs, and in problems."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message

from fastapi_jobs.api.access import SCOPE_KEY, Access
from fastapi_jobs.api.problems import (
    Code,
    ProblemError,
    invalid_request,
    of_validation,
    problem_of,
)
from fastapi_jobs.current import choose, unchoose
from fastapi_jobs.errors import FastAPIJobsError

ESCAPES = 3
"""How much longer than its stored form the JSON of a request may be, by escapes."""
AROUND = 65_536
"""Bytes that a body may have beside the arguments."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def route_class(access: Access) -> type[APIRoute]:
    limit = access.runtime.settings.max_payload * ESCAPES + AROUND

    class JobsRoute(APIRoute):
        """Our routes answer with problems; the host's handlers stay the host's."""

        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()

            async def answer(request: Request) -> Response:
                request.scope[SCOPE_KEY] = access
                chosen = choose(access.runtime)
                try:
                    return await _as_problems(access, handler, _capped(request, limit))
                finally:
                    unchoose(chosen)

            return answer

    return JobsRoute


async def _open(access: Access) -> None:
    """An app whose lifespan did not run, as in a mounted one, opens its store when first asked."""
    if not access.runtime.store.is_open:
        await asyncio.get_running_loop().run_in_executor(None, access.runtime.open)


async def _as_problems(access: Access, handler: Handler, request: Request) -> Response:
    try:
        await _open(access)
        return await handler(request)
    except ProblemError as error:
        return error.response()
    except RequestValidationError as error:
        return of_validation(error).response()
    except FastAPIJobsError as error:
        problem = problem_of(error)
        if problem is None:
            raise
        return problem.response()
    except RecursionError:
        return _unreadable("The JSON is nested too deeply.").response()
    except HTTPException as error:
        if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):
            return _unreadable(f"This is not JSON: {error.__cause__}.").response()
        raise


def _unreadable(message: str) -> ProblemError:
    return invalid_request([{"type": "missing", "loc": ("body",), "msg": message, "input": None}])


def _capped(request: Request, limit: int) -> Request:
    """The same request, whose body is refused once it is larger than any that fits."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise ProblemError(
                413,
                Code.PAYLOAD_TOO_LARGE,
                "The arguments are too large",
                f"The body is larger than {limit:,} bytes; max_payload limits it.",
            )
        return message

    return Request(request.scope, receive)
