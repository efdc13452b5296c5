"""Editing a job that has not started, and enqueuing a copy of any with other arguments."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from sqladmin import Flash
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fastapi_jobs.admin.forms import NotJSON, problems_of, read_json
from fastapi_jobs.admin.orders import place, read_options, typed_options
from fastapi_jobs.admin.pages.job import OneJob
from fastapi_jobs.admin.redaction import HIDDEN, read_text, secret_parameters, with_secrets
from fastapi_jobs.admin.visit import change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import EnqueueError, InvalidArguments
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.status import WAITING, JobStatus
from fastapi_jobs.store import moves

MOST_BYTES = 400_000
"""Longer arguments are no form's: a copy of such a job is made in code."""


class JobForms(OneJob):
    """`/jobs/{id}/edit` and `/jobs/{id}/clone`."""

    name = "Forms of a job"

    @page("/jobs/{id}/edit", Action.EDIT)
    async def edit_form(self, request: Request) -> Response:
        """Its priority, queue and time."""
        record = await self.found(request, Action.EDIT)
        if JobStatus(record.status) not in WAITING:
            return self._too_late(request, record)
        return await self._edit_page(request, record, _options_of(record))

    @change("/jobs/{id}/edit", Action.EDIT)
    async def edit_job(self, request: Request) -> Response:
        """Write what was changed, and nothing else: the rest may have changed meanwhile."""
        record = await self.found(request, Action.EDIT)
        form = await request.form()
        typed = typed_options(form)
        changed = {
            name: text for name, text in typed.items() if text != str(form.get(f"was_{name}", ""))
        }
        values, errors = read_options(changed)
        errors |= {
            name: "Give a value." for name in ("queue", "priority") if changed.get(name) == ""
        }
        if errors:
            return await self._edit_page(request, record, typed, errors)
        if changed.get("run_after") == "":
            values["run_after"] = None
        if not values:
            Flash.info(request, "Nothing was changed.")
            return self._to(request, record)
        edit = moves.EditJob(record.id, utc_now(), values)
        await self.site.write(request, edit, Action.EDIT, str(record.id), **_noted(values))
        Flash.success(request, f"Changed: {', '.join(values)}.")
        return self._to(request, record)

    @page("/jobs/{id}/clone", Action.CREATE)
    async def clone_form(self, request: Request) -> Response:
        """Its arguments, to be changed."""
        record = await self.found(request, Action.READ)
        definition = registry.get(record.task)
        if definition is None or len(record.args) > MOST_BYTES:
            why = f"task {record.task!r} is not known in this process"
            if definition is not None:
                why = f"its {len(record.args):,} characters of arguments are too many for a form"
            Flash.error(request, f"This job cannot be copied here: {why}.")
            return self._to(request, record)
        typed = {"queue": record.queue, "priority": str(record.priority), "run_after": ""}
        text = await read_text(record.task, record.args)
        return await self._clone_page(request, record, text, typed)

    @change("/jobs/{id}/clone", Action.CREATE)
    async def clone_job(self, request: Request) -> Response:
        """Enqueue a job with these arguments, if they are right."""
        record = await self.found(request, Action.READ)
        definition = registry.find(record.task)
        form = await request.form()
        text, typed = str(form.get("arguments", "")).replace("\r\n", "\n"), typed_options(form)
        options, errors = read_options(typed)
        args, problems = _judged(definition, record, text)
        if errors or problems:
            return await self._clone_page(request, record, text, typed, errors, problems)
        options = _inherited(record) | options
        try:
            made = await place(
                self.site, request, definition, args, options, cloned_from=str(record.id)
            )
        except EnqueueError as error:
            return await self._clone_page(request, record, text, typed, {"": str(error)})
        Flash.success(request, _said(made.is_new))
        return RedirectResponse(self.site.url(request, f"/jobs/{made.id}"), 303)

    async def _edit_page(
        self,
        request: Request,
        record: JobRecord,
        typed: Mapping[str, str],
        errors: Mapping[str, str] | None = None,
    ) -> Response:
        response = await self.render(
            request,
            "job_edit.html",
            job=record,
            typed=typed,
            was=_options_of(record),
            errors=errors or {},
        )
        response.status_code = 422 if errors else 200
        return response

    async def _clone_page(
        self,
        request: Request,
        record: JobRecord,
        text: str,
        typed: Mapping[str, str],
        errors: Mapping[str, str] | None = None,
        problems: list[str] | None = None,
    ) -> Response:
        response = await self.render(
            request,
            "job_clone.html",
            job=record,
            text=text,
            typed=typed,
            errors=errors or {},
            problems=problems or [],
            hidden=HIDDEN if secret_parameters(record.task) else "",
        )
        response.status_code = 422 if errors or problems else 200
        return response

    def _too_late(self, request: Request, record: JobRecord) -> Response:
        Flash.error(request, f"It is {record.status}: only a job that waits can be edited.")
        return self._to(request, record)

    def _to(self, request: Request, record: JobRecord) -> Response:
        return RedirectResponse(self.site.url(request, f"/jobs/{record.id}"), 303)


def _options_of(record: JobRecord) -> dict[str, str]:
    """The options as their fields show them."""
    due = record.run_after
    return {
        "queue": record.queue,
        "priority": str(record.priority),
        "run_after": "" if due is None else f"{due:%Y-%m-%d %H:%M:%S}",
    }


def _noted(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: "now" if each is None else str(each) for name, each in values.items()}


def _judged(definition: TaskDefinition, record: JobRecord, text: str) -> tuple[str, list[str]]:
    """The arguments as they are stored, and what is wrong with them."""
    try:
        given = read_json(text)
        if not isinstance(given, dict):
            return "", ['Give a JSON object of arguments by name, such as {"name": "Ann"}.']
        given = with_secrets(definition.name, given, record.args)
        return definition.arguments.dump_named_json(given), []
    except NotJSON as error:
        return "", [str(error)]
    except InvalidArguments as error:
        named = definition.arguments.names
        return "", [
            f"{name}: {message}" if name in named else message
            for name, message in problems_of(error)
        ]


def _inherited(record: JobRecord) -> dict[str, Any]:
    """What a copy has of its original, besides its arguments."""
    meta = from_json(record.meta) if record.meta else {}
    return {
        "owner": record.owner,
        "backend": record.backend or None,
        "tags": from_json(record.tags) if record.tags else None,
        "metadata": meta | {"cloned_from": str(record.id)},
    }


def _said(is_new: bool) -> str:
    if is_new:
        return "The copy is enqueued: this is it."
    return "This job holds the same unique key. Nothing was stored."
