"""`GET {prefix}/tasks`: what may be enqueued, with options and JSON schemas."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field

from fastapi_jobs.api.access import AccessOf, Action
from fastapi_jobs.api.task_schemas import params_schema, result_schema
from fastapi_jobs.checks import queue_of
from fastapi_jobs.claiming import effective_backend
from fastapi_jobs.conf import Settings
from fastapi_jobs.registry import TaskDefinition, registry


class TaskOptionsOut(BaseModel):
    """The options that are in force for a task; times in seconds."""

    queue: str
    backend: str
    priority: int
    retries: int
    timeout: float | None
    expires: float | None
    unique: bool
    max_running: int | None
    on_crash: str
    store_result: bool
    tags: list[str]


class TaskOut(BaseModel):
    """One registered task."""

    name: str
    description: str | None
    api: bool = Field(description="Whether HTTP may enqueue it.")
    options: TaskOptionsOut
    params: dict[str, Any] = Field(description="JSON schema of the object of parameters.")
    result: dict[str, Any] = Field(description="JSON schema of the result.")


async def list_tasks(request: Request, access: AccessOf) -> list[TaskOut]:
    """The tasks that HTTP may enqueue, by name; for whoever may see all tasks, the others too."""
    settings = access.runtime.settings
    shows_all = await access.grants(request, Action.ALL_TASKS)
    shows_all = shows_all and await access.sees_everything(request)
    found = [each for each in registry.values() if shows_all or each.options.api]
    return [task_out(each, settings) for each in sorted(found, key=lambda each: each.name)]


def task_out(definition: TaskDefinition, settings: Settings) -> TaskOut:
    """A definition as HTTP shows it."""
    return TaskOut(
        name=definition.name,
        description=definition.function.__doc__,
        api=definition.options.api,
        options=_options(definition, settings),
        params=params_schema(definition),
        result=result_schema(definition),
    )


def _options(definition: TaskDefinition, settings: Settings) -> TaskOptionsOut:
    own, queue = definition.options, queue_of(settings, definition)
    return TaskOptionsOut(
        queue=queue,
        backend=effective_backend(settings, definition, queue, ""),
        priority=own.priority,
        retries=settings.retries if own.retry is None else own.retry.max,
        timeout=settings.timeout if own.timeout is None else own.timeout,
        expires=own.expires,
        unique=own.unique is not None,
        max_running=own.max_running,
        on_crash=own.on_crash or settings.on_crash,
        store_result=own.store_result,
        tags=list(own.tags),
    )
