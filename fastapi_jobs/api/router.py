"""The router: the table of its routes, each with its name, its permission and its problems."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.params import Depends as DependsType

from fastapi_jobs.api.access import Access, Action, May, MayForAll
from fastapi_jobs.api.acting import cancel_job, retry_job
from fastapi_jobs.api.answering import route_class
from fastapi_jobs.api.bulk import BulkOut, change_jobs
from fastapi_jobs.api.create import create_job, creation_responses
from fastapi_jobs.api.editing import delete_job, edit_job
from fastapi_jobs.api.explaining import ExplanationOut, explain_job
from fastapi_jobs.api.guard import checked_prefix, refuse_unguarded
from fastapi_jobs.api.health import get_health
from fastapi_jobs.api.overview import (
    QueueOut,
    StatsOut,
    get_stats,
    list_queues,
    list_workers,
    pause_queue,
    resume_queue,
)
from fastapi_jobs.api.paths import ID, LINKS
from fastapi_jobs.api.problems import header, problem_responses
from fastapi_jobs.api.reading import get_attempts, get_job, get_logs, get_result, list_jobs
from fastapi_jobs.api.schemas import AttemptOut, Health, JobOut, JobPage, LogPage, WorkerOut
from fastapi_jobs.api.task_routes import JobsRouter
from fastapi_jobs.api.tasks import TaskOut, list_tasks

ETAG = header("ETag", "Changes with the job, for `If-None-Match` and `If-Match`")
NOT_MODIFIED = "The job is as `If-None-Match` says; there is no body"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. `name` n becomes the route's name jobs:n and the id jobs_n."""

    method: str
    path: str
    name: str
    handler: Callable[..., Any]
    model: Any
    problems: Sequence[int]
    status: int = 200
    for_all: bool = False
    """The scope must be all jobs, too."""
    may: Action | None = None
    """Asked before the body is read; None where the handler asks with the job in hand."""
    also: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    """Answers beside `status` that are no problems."""

    def add_to(self, router: APIRouter) -> None:
        """Make it a route."""
        asks = MayForAll if self.for_all else May
        router.add_api_route(
            self.path,
            self.handler,
            methods=[self.method],
            status_code=self.status,
            response_model=self.model,
            response_model_exclude_none=self.model is Health,
            name=f"jobs:{self.name}",
            operation_id=f"jobs_{self.name}",
            dependencies=[] if self.may is None else [Depends(asks(self.may))],
            responses={**self.also, **problem_responses(*self.problems)},
        )


OF_ALL = (
    Operation(
        "POST",
        "",
        "create",
        create_job,
        JobOut,
        (),
        status=202,
        may=Action.CREATE,
        also=creation_responses(JobOut),
    ),
    Operation("GET", "", "list", list_jobs, JobPage, (403, 422, 503), may=Action.LIST),
    Operation("GET", "/health", "health", get_health, Health, (503,)),
    Operation("GET", "/stats", "stats", get_stats, StatsOut, (403, 503), may=Action.STATS),
    Operation(
        "GET",
        "/workers",
        "workers",
        list_workers,
        list[WorkerOut],
        (403, 503),
        may=Action.WORKERS,
        for_all=True,
    ),
    Operation(
        "GET", "/queues", "queues", list_queues, list[QueueOut], (403, 503), may=Action.QUEUES
    ),
    Operation(
        "POST",
        "/queues/{name}/pause",
        "pause_queue",
        pause_queue,
        QueueOut,
        (403, 404, 413, 422, 503),
        may=Action.PAUSE,
        for_all=True,
    ),
    Operation(
        "POST",
        "/queues/{name}/resume",
        "resume_queue",
        resume_queue,
        QueueOut,
        (403, 404, 422, 503),
        may=Action.RESUME,
        for_all=True,
    ),
    Operation(
        "POST",
        "/bulk",
        "bulk",
        change_jobs,
        BulkOut,
        (403, 413, 422, 503),
        may=Action.BULK,
    ),
    Operation("GET", "/tasks", "tasks", list_tasks, list[TaskOut], (403, 503), may=Action.TASKS),
)

OF_ONE = (
    Operation(
        "GET",
        ID,
        "get",
        get_job,
        JobOut,
        (403, 404, 422, 503),
        also={
            200: {"headers": ETAG, "links": LINKS},
            304: {"description": NOT_MODIFIED, "headers": ETAG},
        },
    ),
    Operation(
        "PATCH",
        ID,
        "edit",
        edit_job,
        JobOut,
        (403, 404, 409, 412, 413, 422, 503),
        also={200: {"links": LINKS}},
    ),
    Operation("DELETE", ID, "delete", delete_job, None, (403, 404, 409, 422, 503), status=204),
    Operation(
        "GET", f"{ID}/attempts", "attempts", get_attempts, list[AttemptOut], (403, 404, 422, 503)
    ),
    Operation("GET", f"{ID}/explain", "explain", explain_job, ExplanationOut, (403, 404, 422, 503)),
    Operation("GET", f"{ID}/logs", "logs", get_logs, LogPage, (403, 404, 422, 503)),
    Operation("GET", f"{ID}/result", "result", get_result, Any, (403, 404, 409, 422, 503)),
    Operation(
        "POST",
        f"{ID}/cancel",
        "cancel",
        cancel_job,
        JobOut,
        (403, 404, 409, 422, 503),
        also={
            200: {"links": LINKS},
            202: {
                "model": JobOut,
                "description": "It runs, and was asked to stop",
                "links": LINKS,
            },
        },
    ),
    Operation(
        "POST",
        f"{ID}/retry",
        "retry",
        retry_job,
        JobOut,
        (403, 404, 409, 422, 503),
        also={200: {"links": LINKS}},
    ),
)


def make_router(
    access: Access,
    *,
    prefix: str,
    dependencies: Sequence[DependsType] = (),
    tags: Sequence[str | Enum] = ("jobs",),
) -> APIRouter:
    """The API of one FastAPIJobs.

    Raises:
        SettingsError: nobody guards it, and this environment is not one to play in.
        InvalidOption: the prefix.
    """
    refuse_unguarded(access)
    router = JobsRouter(
        api_options=access.runtime.settings.api_options,
        prefix=checked_prefix(prefix),
        dependencies=list(dependencies),
        tags=list(tags),
        route_class=route_class(access),
    )
    for operation in OF_ALL:
        operation.add_to(router)
    router.add_task_routes()
    for operation in OF_ONE:
        operation.add_to(router)
    return router
