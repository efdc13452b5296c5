"""One job: what happened to it, what it left behind, and what may be done with it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqladmin import Flash
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.redaction import read_text, secrets_of, shown_result
from fastapi_jobs.admin.showing import LONGEST, progress_of
from fastapi_jobs.admin.timeline import WIDTH, timeline
from fastapi_jobs.admin.tracebacks import parts_of
from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import JobNotFound
from fastapi_jobs.explaining import Viewer, explain
from fastapi_jobs.handle import job_of
from fastapi_jobs.logged import logged_line
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus, legal_actions
from fastapi_jobs.store import moves, queries
from fastapi_jobs.store.job_view import JobView, view_job
from fastapi_jobs.wording import cut

MOST_NUMBER = 2**31 - 1


class OneJob(Page):
    """What the pages about one job share; none of them is in the menu."""

    path = "/jobs"

    def is_visible(self, request: Request) -> bool:
        """Not in the menu."""
        return False

    async def back(self, request: Request, path: str) -> Response:
        """What went wrong is told on the page of the job."""
        return await super().back(request, path if path != "/" else f"/jobs/{id_of(request)}")

    async def found(self, request: Request, action: Action) -> JobRecord:
        """The job of the address, if it may be done.

        Raises:
            HTTPException: 403; or 404, it is no id.
            JobNotFound
        """
        job_id = id_of(request)
        record = await self.site.runtime.store.read(queries.get_job, job_id)
        if record is None:
            raise JobNotFound(job_id)
        await self.demand_on(request, action, record)
        return record

    async def demand_on(self, request: Request, action: Action, record: JobRecord) -> None:
        """Ask about this very job."""
        await self.site.demand(request, action, job_of(record, self.site.runtime))

    async def legal(self, request: Request, record: JobRecord) -> set[str]:
        """What its status, the role and the host allow."""
        job = job_of(record, self.site.runtime)
        found = {
            each.value
            for each in legal_actions(JobStatus(record.status))
            if await self.site.may(request, Action(each.value), job)
        }
        if record.task in registry and await self.site.may(request, Action.CREATE):
            found.add("clone")
        return found


def id_of(request: Request) -> UUID:
    """The id in the address.

    Raises:
        HTTPException: 404.
    """
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise HTTPException(404, "This is no job's id.") from None


def number_of(request: Request, name: str) -> int | None:
    """A number of the query; what makes no sense is as if it were not there."""
    text = request.query_params.get(name, "")
    number = int(text) if text.isdecimal() and len(text) <= 10 else 0
    return number if 0 < number <= MOST_NUMBER else None


class JobPage(OneJob):
    """`/jobs/{id}`."""

    name = "Job"

    @page("/jobs/{id}", Action.READ)
    async def job(self, request: Request) -> Response:
        """Everything about one job."""
        runtime, job_id = self.site.runtime, id_of(request)
        view = await runtime.store.read(
            view_job,
            job_id,
            attempt=number_of(request, "attempt"),
            before=number_of(request, "before"),
        )
        if view is None:
            raise JobNotFound(job_id)
        await self.demand_on(request, Action.READ, view.job)
        why = await explain(runtime.store, runtime.settings, job_id, Viewer())
        return await self.render(
            request,
            "job.html",
            view=view,
            job=view.job,
            legal=await self.legal(request, view.job),
            steps=timeline(view, utc_now()),
            width=WIDTH,
            reasons=why.reasons,
            **await _told(view),
        )

    @change("/jobs/{id}/cancel", Action.CANCEL)
    async def cancel_job(self, request: Request) -> Response:
        """Cancel a waiting job, ask a running one."""
        record = await self.found(request, Action.CANCEL)
        who = self.site.who(request)
        request_ = moves.RequestCancel(record.id, utc_now(), f"cancelled by {who}")
        status = await self.site.write(request, request_, Action.CANCEL, str(record.id))
        said = "It is cancelled." if status is JobStatus.CANCELLED else "It was asked to stop."
        Flash.success(request, said)
        return await self.back(request, f"/jobs/{record.id}")

    @change("/jobs/{id}/retry", Action.RETRY)
    async def retry_job(self, request: Request) -> Response:
        """Run a finished job again."""
        record = await self.found(request, Action.RETRY)
        retry = moves.RetryJob(record.id, utc_now())
        await self.site.write(request, retry, Action.RETRY, str(record.id))
        Flash.success(request, "It runs again.")
        return await self.back(request, f"/jobs/{record.id}")

    @change("/jobs/{id}/run-now", Action.EDIT)
    async def run_job_now(self, request: Request) -> Response:
        """Make a scheduled job due."""
        record = await self.found(request, Action.EDIT)
        if record.status == JobStatus.QUEUED:
            Flash.info(request, "It is due already, and waits for a worker.")
            return await self.back(request, f"/jobs/{record.id}")
        edit = moves.EditJob(record.id, utc_now(), {"run_after": None})
        await self.site.write(request, edit, Action.EDIT, str(record.id), run_after="now")
        Flash.success(request, "It is due now.")
        return await self.back(request, f"/jobs/{record.id}")

    @change("/jobs/{id}/delete", Action.DELETE)
    async def delete_job(self, request: Request) -> Response:
        """Delete a finished job."""
        record = await self.found(request, Action.DELETE)
        delete = moves.DeleteJobs([record.id], must=True)
        await self.site.write(request, delete, Action.DELETE, str(record.id), task=record.task)
        Flash.success(request, f"Job {record.id} is deleted.")
        return await self.back(request, "/jobs")


async def _told(view: JobView) -> Mapping[str, Any]:
    """The texts of a job, each short enough for a page."""
    job, shown = view.job, view.shown
    arguments, result = await read_text(job.task, job.args), shown_result(job.task, job.result)
    trace = shown.traceback if shown is not None else None
    error = (shown.error if shown is not None else None) or job.error
    return {
        "arguments": arguments[:LONGEST],
        "arguments_left": len(arguments) - LONGEST,
        "is_known": secrets_of(job.task) is not None,
        "result": (result or "")[:LONGEST],
        "result_left": len(result or "") - LONGEST,
        "error": cut(error, LONGEST) if error else None,
        "trace": parts_of(cut(trace, LONGEST)) if trace else [],
        "trace_left": len(trace or "") - LONGEST,
        "lines": [logged_line(each) for each in view.logs],
        "progress": progress_of(job.progress),
        "tags": from_json(job.tags) if job.tags else [],
    }
