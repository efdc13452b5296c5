"""The registered tasks, how they do, and a form to enqueue each by hand."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sqladmin import Flash
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fastapi_jobs.admin.forms import FormField, arguments_of, fields_of, fill, tell
from fastapi_jobs.admin.orders import OPTIONS, place, read_options, typed_options
from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.api.tasks import task_out
from fastapi_jobs.errors import EnqueueError, InvalidArguments, did_you_mean
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.store import queries
from fastapi_jobs.store.figures import TaskEnds


class TasksPage(Page):
    """`/tasks`."""

    name = "Tasks"
    path = "/tasks"
    icon = "ti ti-code"

    @page("/tasks", Action.TASKS)
    async def tasks(self, request: Request) -> Response:
        """Every task that this process knows."""
        ends = await self._ends()
        settings = self.site.runtime.settings
        known = sorted(await self._visible(request), key=lambda each: each.name)
        return await self.render(
            request,
            "tasks.html",
            tasks=[(task_out(each, settings), ends.get(each.name, TaskEnds())) for each in known],
        )

    @page("/tasks/{name:path}", Action.TASKS)
    async def task(self, request: Request) -> Response:
        """One task: its options, its figures, and its form."""
        definition = await self._found(request)
        return await self._page(
            request, definition, fields_of(definition), dict.fromkeys(OPTIONS, "")
        )

    @change("/tasks/{name:path}", Action.CREATE)
    async def enqueue_task(self, request: Request) -> Response:
        """Enqueue a job, if its arguments are right; else tell what is wrong, at its field."""
        definition = await self._found(request)
        form = await request.form()
        fields, typed = fields_of(definition), typed_options(form)
        fill(fields, form)
        options, errors = read_options(typed)
        rest: Sequence[str] = ()
        try:
            text = definition.arguments.dump_named_json(arguments_of(fields, form))
            if not errors and not any(each.error for each in fields):
                return await self._enqueued(request, definition, text, options)
        except InvalidArguments as error:
            rest = tell(fields, error)
        except EnqueueError as error:
            rest = [str(error)]
        return await self._page(request, definition, fields, typed, errors, rest)

    async def _enqueued(
        self, request: Request, definition: TaskDefinition, text: str, options: Mapping[str, Any]
    ) -> Response:
        made = await place(self.site, request, definition, text, options)
        if made.is_new:
            Flash.success(request, "The job is enqueued: this is it.")
        else:
            Flash.info(request, "This job holds the same unique key. Nothing was stored.")
        return RedirectResponse(self.site.url(request, f"/jobs/{made.id}"), 303)

    async def _page(
        self,
        request: Request,
        definition: TaskDefinition,
        fields: Sequence[FormField],
        typed: Mapping[str, str],
        errors: Mapping[str, str] | None = None,
        rest: Sequence[str] = (),
    ) -> Response:
        is_wrong = bool(errors or rest or any(each.error for each in fields))
        runtime = self.site.runtime
        latest = await runtime.store.read(
            queries.list_jobs, JobFilter(task=definition.name), limit=10
        )
        response = await self.render(
            request,
            "task.html",
            task=task_out(definition, runtime.settings),
            place=definition.place,
            secret=definition.options.secret,
            address=quote(definition.name),
            ends=(await self._ends()).get(definition.name, TaskEnds()),
            latest=latest.items,
            fields=fields,
            typed=typed,
            errors=errors or {},
            rest=rest,
            is_wrong=is_wrong,
            may_enqueue=await self.site.may(request, Action.CREATE),
        )
        response.status_code = 422 if is_wrong else 200
        return response

    async def _ends(self) -> Mapping[str, TaskEnds]:
        return (await self.site.looks.recent.get()).tasks

    async def _visible(self, request: Request) -> list[TaskDefinition]:
        sees_all = await self.site.may(request, Action.ALL_TASKS)
        return [each for each in registry.values() if sees_all or each.options.api]

    async def _found(self, request: Request) -> TaskDefinition:
        name = request.path_params["name"]
        visible = {each.name: each for each in await self._visible(request)}
        if name not in visible:
            hint = did_you_mean(name, visible)
            raise HTTPException(404, f"No task {name!r} is registered here.{hint}")
        return visible[name]
