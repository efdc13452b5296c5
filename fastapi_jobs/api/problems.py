"""What goes wrong, as `application/problem+json`: one table from our errors to HTTP."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import definitions_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fastapi_jobs import errors
from fastapi_jobs.serialization.wording import short
from fastapi_jobs.wording import cut

MEDIA_TYPE = "application/problem+json"
RETRY_LATER_SECONDS = 10.0
"""When to come again after trouble that a person must end."""

RETRIABLE = frozenset({429, 503})
MOST_ERRORS = 20
MOST_BYTES = 2000


class Code(StrEnum):
    """What went wrong, for programs; never changes its meaning."""

    INVALID_REQUEST = "invalid_request"
    INVALID_ARGUMENTS = "invalid_arguments"
    INVALID_OPTION = "invalid_option"
    INVALID_CURSOR = "invalid_cursor"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    FORBIDDEN = "forbidden"
    JOB_NOT_FOUND = "job_not_found"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_QUEUE = "unknown_queue"
    ILLEGAL_MOVE = "illegal_move"
    NO_RESULT = "no_result"
    JOB_CHANGED = "job_changed"
    DUPLICATE_JOB = "duplicate_job"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    QUEUE_FULL = "queue_full"
    STORE_UNAVAILABLE = "store_unavailable"
    NOT_MIGRATED = "not_migrated"


class JobsProblem(BaseModel):
    """The body of every error."""

    title: str
    status: int
    detail: str
    code: str = Field(json_schema_extra={"enum": [code.value for code in Code]})
    errors: list[dict[str, str]] = Field(
        default=[], description="Of a 422: each `field` with its `message`."
    )
    job_status: str | None = Field(default=None, description="Of a 409: where the job stands.")
    legal_actions: list[str] = Field(default=[], description="Of a 409: what is allowed now.")


class BringsProblem(BaseModel):
    """A body that brings the schema of `JobsProblem` into OpenAPI, so that all can refer to it.

    FastAPI takes there only what is a route's `model`, and would call it application/json.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        handler(definitions_schema(JobsProblem.__pydantic_core_schema__, []))
        return handler(core_schema)


class ProblemError(HTTPException):
    """A problem on its way out; where nobody renders it, FastAPI's own handler still may."""

    def __init__(
        self,
        status: int,
        code: Code,
        title: str,
        detail: str,
        *,
        extras: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        headers = {"Retry-After": str(max(math.ceil(retry_after), 1))} if retry_after else None
        super().__init__(status, detail, headers)
        self.code, self.title, self.extras = code, title, dict(extras or {})

    def response(self) -> Response:
        """The answer that a client gets."""
        body = {
            "title": self.title,
            "status": self.status_code,
            "detail": cut(self.detail, MOST_BYTES),
            "code": self.code.value,
        }
        return JSONResponse(body | self.extras, self.status_code, self.headers, MEDIA_TYPE)


async def render(_request: Request, error: Exception) -> Response:
    """The exception handler for `ProblemError` outside our own routes."""
    assert isinstance(error, ProblemError)
    return error.response()


@dataclass(frozen=True, slots=True)
class _Rule:
    status: int
    code: Code
    title: str
    extras: Callable[[Any], dict[str, Any]] = lambda error: {}
    retry_after: Callable[[Any], float | None] = lambda error: None
    detail: Callable[[Any], str] = str


def _field(name: str, message: object) -> dict[str, Any]:
    return {"errors": _first([{"field": name, "message": str(message)}])}


def _of_argument(problem: str) -> dict[str, str]:
    named = re.search("parameter '(.+?)'", problem)
    return {"field": named[1] if named else "args", "message": problem}


def _first(found: list[dict[str, str]]) -> list[dict[str, str]]:
    """As many as anybody reads: a request may hold thousands of mistakes, and long ones."""
    return [
        {key: cut(text, MOST_BYTES) for key, text in each.items()} for each in found[:MOST_ERRORS]
    ]


def _moves(error: errors.IllegalMove) -> dict[str, Any]:
    return {"job_status": error.status, "legal_actions": error.legal}


_TABLE: dict[type[errors.FastAPIJobsError], _Rule] = {
    errors.InvalidArguments: _Rule(
        422,
        Code.INVALID_ARGUMENTS,
        "The arguments do not fit the task",
        lambda error: {"errors": _first([_of_argument(each) for each in error.problems])},
    ),
    errors.InvalidOption: _Rule(
        422,
        Code.INVALID_OPTION,
        "An option breaks its rule",
        lambda error: _field(f"options.{error.option}", error),
    ),
    errors.InvalidCursor: _Rule(
        422,
        Code.INVALID_CURSOR,
        "The cursor is not one of ours",
        lambda error: _field("cursor", error),
    ),
    errors.IdempotencyConflict: _Rule(
        422,
        Code.IDEMPOTENCY_CONFLICT,
        "The Idempotency-Key came with another body",
        lambda error: _field("Idempotency-Key", error),
    ),
    errors.JobNotFound: _Rule(404, Code.JOB_NOT_FOUND, "There is no such job"),
    errors.IllegalMove: _Rule(409, Code.ILLEGAL_MOVE, "The job's status forbids it", extras=_moves),
    errors.JobChanged: _Rule(412, Code.JOB_CHANGED, "The job has changed"),
    errors.DuplicateJob: _Rule(409, Code.DUPLICATE_JOB, "Another job holds the unique key"),
    errors.PayloadTooLarge: _Rule(413, Code.PAYLOAD_TOO_LARGE, "The arguments are too large"),
    errors.QueueFull: _Rule(
        429,
        Code.QUEUE_FULL,
        "The queue is full",
        retry_after=lambda error: error.retry_after,
    ),
    # The database's name and the driver's words are not for clients.
    errors.StoreUnavailable: _Rule(
        503,
        Code.STORE_UNAVAILABLE,
        "The job store is unavailable",
        retry_after=lambda error: error.retry_after,
        detail=lambda error: "The database of the jobs does not answer now. Try again later.",
    ),
    errors.NotMigrated: _Rule(
        503,
        Code.NOT_MIGRATED,
        "The job store is not migrated",
        retry_after=lambda error: RETRY_LATER_SECONDS,
        detail=lambda error: (
            "The tables of the jobs are missing or of another version. Run: fastapi-jobs migrate"
        ),
    ),
}


def problem_of(error: errors.FastAPIJobsError) -> ProblemError | None:
    """The problem that `error` is for a client; None when it is the host's own mistake."""
    rule = next((_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE), None)
    if rule is None:
        return None
    return ProblemError(
        rule.status,
        rule.code,
        rule.title,
        rule.detail(error),
        extras=rule.extras(error),
        retry_after=rule.retry_after(error),
    )


def invalid_option(error: errors.InvalidOption, field: str) -> ProblemError:
    """The problem of an option that stands elsewhere in the body than in `options`."""
    rule = _TABLE[errors.InvalidOption]
    extras = _field(field, error)
    return ProblemError(rule.status, rule.code, rule.title, str(error), extras=extras)


def invalid_request(found: Sequence[Mapping[str, Any]]) -> ProblemError:
    """The problem of a request that pydantic refused."""
    problems = _first([_of_pydantic(each) for each in found[:MOST_ERRORS]])
    return ProblemError(
        422,
        Code.INVALID_REQUEST,
        "The request is malformed",
        "; ".join(f"{each['field']}: {each['message']}" for each in problems),
        extras={"errors": problems},
    )


def of_validation(error: RequestValidationError) -> ProblemError:
    """The problem of a request that FastAPI refused."""
    return invalid_request(error.errors())


def _of_pydantic(found: Mapping[str, Any]) -> dict[str, str]:
    place, *rest = found["loc"]
    field = str(place) if found["type"] == "json_invalid" else ".".join(map(str, rest))
    message = str(found["msg"])
    context = found.get("ctx", {})
    if found["type"] == "json_invalid":
        message = f"This is not JSON: {context.get('error', message)} at character {rest[0]}."
    elif found["type"] != "missing":
        message = f"{message} (given {short(found.get('input'))})"
    return {"field": field or str(place), "message": message}


_TITLES = {
    403: "The permission hook refused it",
    404: "There is no such job, task or queue",
    409: "The job's status forbids it, or another job holds the unique key",
    412: "The job has changed since",
    413: "The body or the arguments are too large",
    422: "The request is malformed, or its arguments do not fit the task",
    429: "The queue is full",
    503: "The job store is unavailable",
}


def header(name: str, description: str) -> dict[str, Any]:
    """One header of an answer, for OpenAPI."""
    return {name: {"description": description, "schema": {"type": "string"}}}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of one route for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/JobsProblem"}}}
    found: dict[int | str, dict[str, Any]] = {
        each: {"description": _TITLES[each], "content": content} for each in statuses
    }
    for each in RETRIABLE & set(statuses):
        found[each]["headers"] = header("Retry-After", "Seconds to wait before the next try")
    return found
