"""`POST {prefix}/tasks/{name}`: a route for each `api=True` task, with its own body and result.

Whatever its name and however late it was registered, one route serves every task. For OpenAPI each
gets a route of its own: those that are known when the router is made, and those that are registered
later as soon as they are.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from fastapi_jobs.api.access import Access, AccessOf, Action, May
from fastapi_jobs.api.create import (
    IdempotencyKey,
    Order,
    accept,
    base_of,
    creation_responses,
    open_task,
)
from fastapi_jobs.api.schemas import JobOut
from fastapi_jobs.api.task_schemas import TaskBody, body_of, job_of, shown_options
from fastapi_jobs.registry import TaskDefinition, registry

PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
"""A name that stands in a path as it is."""

Endpoint = Callable[..., Coroutine[Any, Any, JobOut]]


class JobsRouter(APIRouter):
    """A router that grows a route for each task that is registered while it lives."""

    def __init__(self, api_options: Collection[str] = (), **options: Any) -> None:
        super().__init__(**options)
        self._options = shown_options(api_options)
        self._operation_ids: dict[str, str] = {}

    def add_task_routes(self) -> None:
        """Add those of the tasks that are known, and from now on of those that are not."""
        for definition in registry.values():
            self.add_task_route(definition)
        registry.listen(self.add_task_route)
        self.add_api_route(
            "/tasks/{name:path}",
            enqueue_by_name,
            methods=["POST"],
            status_code=202,
            name="jobs:enqueue",
            dependencies=[Depends(May(Action.CREATE))],
            include_in_schema=False,
        )

    def add_task_route(self, definition: TaskDefinition) -> None:
        """Add the route of one task, if HTTP may enqueue it."""
        name = definition.name
        is_shown = definition.options.api and PLAIN_NAME.fullmatch(name)
        if not is_shown or name in self._operation_ids:
            return
        self._operation_ids[name] = operation_id = self._operation_id(name)
        title = "".join(part.capitalize() for part in operation_id.split("_")[1:])
        job = job_of(definition, title)
        self.add_api_route(
            f"/tasks/{name}",
            endpoint_of(definition, body_of(definition, title, self._options), job),
            methods=["POST"],
            status_code=202,
            response_model=job,
            summary=f"Enqueue {name}",
            name=f"jobs:enqueue:{name}",
            operation_id=operation_id,
            dependencies=[Depends(May(Action.CREATE))],
            responses=creation_responses(job),
        )

    def _operation_id(self, name: str) -> str:
        """`enqueue_` and the name; where another task has that already, with a digest of the name.

        So a new task does not rename the others.
        """
        plain = "enqueue_" + re.sub(r"\W", "_", name)
        if plain not in self._operation_ids.values():
            return plain
        return f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def endpoint_of(definition: TaskDefinition, body: type[TaskBody], job: type[JobOut]) -> Endpoint:
    """The endpoint of one task; it differs from `enqueue_by_name` in what OpenAPI says of it."""
    name = definition.name

    async def enqueue(
        body: Any,
        request: Request,
        response: Response,
        access: AccessOf,
        key: IdempotencyKey,
    ) -> JobOut:
        created = await enqueue_params(name, body, request, response, access, key)
        return job.model_construct(**dict(created))

    enqueue.__annotations__["body"] = body
    enqueue.__doc__ = definition.function.__doc__ or f"Enqueue a job of {name}."
    return enqueue


async def enqueue_by_name(
    name: str,
    body: TaskBody,
    request: Request,
    response: Response,
    access: AccessOf,
    key: IdempotencyKey,
) -> JobOut:
    """Enqueue a task that has no route of its own."""
    return await enqueue_params(name, body, request, response, access, key)


async def enqueue_params(
    name: str,
    body: TaskBody,
    request: Request,
    response: Response,
    access: Access,
    key: str | None,
) -> JobOut:
    """Enqueue `name` with named parameters; the answer comes after the commit."""
    definition = open_task(name)
    text = definition.arguments.dump_named_json(body.params)
    wanted = [name, body.params, dict(body.options.given())]
    base = base_of(request, f"/tasks/{name}")
    order = Order(definition, text, body.options, "jobs:enqueue", wanted, key, base)
    return await accept(access, request, response, order)
