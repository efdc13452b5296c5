"""`POST {prefix}`: one job from outside, once, however often the request comes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Request, Response

from fastapi_jobs.api.access import Access, AccessOf
from fastapi_jobs.api.filters import absent
from fastapi_jobs.api.paths import LINKS
from fastapi_jobs.api.problems import Code, ProblemError, header, problem_responses
from fastapi_jobs.api.schemas import CreateJob, JobOut, Options
from fastapi_jobs.api.showing import show, show_new
from fastapi_jobs.backends.event_loop import ImmediateBackend
from fastapi_jobs.clock import utc_now
from fastapi_jobs.enqueueing import announce, backend_of, job_from_text
from fastapi_jobs.errors import DuplicateJob, InvalidOption, JobNotFound, did_you_mean
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store import queries
from fastapi_jobs.store.rows import IdempotencyWish, Inserted, NewJob
from fastapi_jobs.using import Using

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        default_factory=absent,
        description="The same key again makes no second job.",
    ),
]


LOCATION = header("Location", "Where the job is")
REPLAYED = header("Idempotent-Replayed", "`true`: the key made this job before")


def creation_responses(job: type[JobOut]) -> dict[int | str, dict[str, Any]]:
    """What a route that enqueues answers, for OpenAPI."""
    return {
        200: {
            "model": job,
            "description": "The job that is there already",
            "headers": LOCATION | REPLAYED,
            "links": LINKS,
        },
        202: {
            "description": "The job is stored, and will run",
            "headers": LOCATION,
            "links": LINKS,
        },
        **problem_responses(403, 404, 409, 413, 422, 429, 503),
    }


@dataclass(frozen=True, slots=True)
class Order:
    """What one request wants enqueued, its arguments validated."""

    definition: TaskDefinition
    args: str
    options: Options
    route: str
    wanted: Sequence[Any]
    """All that the client said, to compare with what came before under the same key."""
    key: str | None
    base: str
    """The path of the router, for `Location`."""


async def create_job(
    body: CreateJob,
    request: Request,
    response: Response,
    access: AccessOf,
    key: IdempotencyKey,
) -> JobOut:
    """Enqueue a task that is marked `api=True`; the answer comes after the commit."""
    definition = open_task(body.task)
    text = definition.arguments.dump_json(body.args, body.kwargs)
    wanted = [body.task, body.args, body.kwargs, dict(body.options.given())]
    base = base_of(request)
    order = Order(definition, text, body.options, "jobs:create", wanted, key, base)
    return await accept(access, request, response, order)


def base_of(request: Request, below: str = "") -> str:
    """The router's path as the client knows it, from a request to the path `below` it.

    Servers put the root path before the path, as ASGI wants; older ones leave that to us.
    """
    path = str(request.scope["path"])
    root = str(request.scope.get("app_root_path", request.scope.get("root_path", "")))
    full = path if path.startswith(root) else root + path
    return quote(full.removesuffix(below).rstrip("/"))


async def accept(access: Access, request: Request, response: Response, order: Order) -> JobOut:
    """Store the job; 202, or 200 for one that is there already."""
    owner = await access.owner_of(request)
    using = using_of(access.runtime, order.options, owner)
    job = job_from_text(access.runtime, order.definition, using, order.args)
    wish = idempotency_wish(access.runtime, order, owner)
    try:
        inserted = await insert(access.runtime, order.definition, job, wish)
    except DuplicateJob as error:
        raise await _held(access, request, job, error) from error
    created = await _answer(access, request, job, inserted)
    response.status_code = 202 if created.is_new else 200
    response.headers["Location"] = f"{order.base}/{created.id}"
    if inserted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return created


def open_task(name: str) -> TaskDefinition:
    """The task of this name, if it may be enqueued over HTTP; no other is ever named.

    Raises:
        ProblemError
    """
    definition = registry.get(name)
    if definition is not None and definition.options.api:
        return definition
    known = [each.name for each in registry.values() if each.options.api]
    raise ProblemError(
        404,
        Code.UNKNOWN_TASK,
        "There is no such task",
        f"No task {name!r} can be enqueued here.{did_you_mean(name, known)} "
        "HTTP reaches the tasks that say so: @task(api=True).",
    )


def using_of(runtime: Runtime, options: Options, owner: str | None) -> Using:
    """The options of the request, and its owner.

    Raises:
        InvalidOption: one of them is not for requests, or breaks its rule.
    """
    given = options.given()
    allowed = runtime.settings.api_options
    for name, value in given.items():
        if name not in allowed:
            may = f"a request may set {', '.join(allowed)}" if allowed else "no option is open here"
            raise InvalidOption(
                name, value, f"{may}; see api_options.{did_you_mean(name, allowed)}"
            )
    return Using(runtime=runtime).changed({**given, "owner": owner})


def idempotency_wish(runtime: Runtime, order: Order, owner: str | None) -> IdempotencyWish | None:
    """The client's key for this owner and route, with a digest of what it asks for."""
    if order.key is None:
        return None
    return IdempotencyWish(
        key=_digest([owner, order.route, order.key]),
        body=_digest(order.wanted),
        expires_at=utc_now() + timedelta(seconds=runtime.settings.idempotency_ttl),
        shown=order.key,
    )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


async def insert(
    runtime: Runtime, definition: TaskDefinition, job: NewJob, wish: IdempotencyWish | None
) -> Inserted:
    """Commit the job; with the immediate backend, run it too."""
    backend = backend_of(runtime, definition, job)
    inserted = await runtime.insert(job, definition, backend, wish)
    announce(runtime, [job], [inserted])
    if inserted.is_new and _runs_at_once(runtime, definition, job):
        await runtime.run_now(job)
    return inserted


async def _answer(access: Access, request: Request, job: NewJob, inserted: Inserted) -> JobOut:
    """The job as the client sees it; of somebody else's that holds the unique key, no more than
    that it is there.
    """
    runtime = access.runtime
    if inserted.is_new and not _runs_at_once(runtime, registry.find(job.task), job):
        return await show_new(access, request, job, inserted)
    record = await runtime.store.read(queries.get_job, inserted.id)
    if record is None:
        raise JobNotFound(inserted.id)
    is_own = (
        inserted.is_new
        or inserted.replayed
        or (job.owner is not None and record.owner == job.owner)
    )
    if not is_own and not (await access.scope_of(request)).sees(record.owner):
        raise _held_by_another(job)
    return await show(access, request, record, is_new=inserted.is_new)


async def _held(
    access: Access, request: Request, job: NewJob, error: DuplicateJob
) -> DuplicateJob | ProblemError:
    """The refusal of a duplicate: it names the holder only to those who may see it."""
    return error if await access.sees_id(request, error.holder) else _held_by_another(job)


def _held_by_another(job: NewJob) -> ProblemError:
    return ProblemError(
        409,
        Code.DUPLICATE_JOB,
        "Another job holds the unique key",
        f"Another job of task {job.task!r} holds the same unique key.",
    )


def _runs_at_once(runtime: Runtime, definition: TaskDefinition, job: NewJob) -> bool:
    is_immediate = backend_of(runtime, definition, job) == ImmediateBackend.name
    return is_immediate and job.run_after is None
