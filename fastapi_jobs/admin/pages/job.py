"""One job, and what may be done with it."""

from uuid import UUID

from sqladmin import Flash
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import JobNotFound
from fastapi_jobs.handle import job_of
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus, legal_actions
from fastapi_jobs.store import moves, queries


class JobPage(Page):
    """`/jobs/{id}`."""

    name = "Job"
    path = "/jobs"

    def is_visible(self, request: Request) -> bool:
        """Not in the menu."""
        return False

    @page("/jobs/{id}", Action.READ)
    async def job(self, request: Request) -> Response:
        """Everything about one job."""
        record = await self._found(request, Action.READ)
        store = self.site.runtime.store
        job = job_of(record, self.site.runtime)
        legal = [
            each
            for each in legal_actions(JobStatus(record.status))
            if await self.site.may(request, Action(each.value), job)
        ]
        return await self.render(
            request,
            "job.html",
            job=record,
            legal=legal,
            attempts=await store.read(queries.get_attempts, record.id),
        )

    @change("/jobs/{id}/cancel", Action.CANCEL)
    async def cancel_job(self, request: Request) -> Response:
        """Cancel a waiting job, ask a running one."""
        record = await self._found(request, Action.CANCEL)
        who = self.site.who(request)
        request_ = moves.RequestCancel(record.id, utc_now(), f"cancelled by {who}")
        status = await self.site.write(request, request_, Action.CANCEL, str(record.id))
        said = "It is cancelled." if status is JobStatus.CANCELLED else "It was asked to stop."
        Flash.success(request, said)
        return await self.back(request, f"/jobs/{record.id}")

    @change("/jobs/{id}/retry", Action.RETRY)
    async def retry_job(self, request: Request) -> Response:
        """Run a finished job again."""
        record = await self._found(request, Action.RETRY)
        retry = moves.RetryJob(record.id, utc_now())
        await self.site.write(request, retry, Action.RETRY, str(record.id))
        Flash.success(request, "It runs again.")
        return await self.back(request, f"/jobs/{record.id}")

    @change("/jobs/{id}/delete", Action.DELETE)
    async def delete_job(self, request: Request) -> Response:
        """Delete a finished job."""
        record = await self._found(request, Action.DELETE)
        delete = moves.DeleteJobs([record.id], must=True)
        await self.site.write(request, delete, Action.DELETE, str(record.id), task=record.task)
        Flash.success(request, f"Job {record.id} is deleted.")
        return await self.back(request, "/jobs")

    async def _found(self, request: Request, action: Action) -> JobRecord:
        try:
            job_id = UUID(request.path_params["id"])
        except ValueError:
            raise HTTPException(404, "This is no job's id.") from None
        record = await self.site.runtime.store.read(queries.get_job, job_id)
        if record is None:
            raise JobNotFound(job_id)
        await self.site.demand(request, action, job_of(record, self.site.runtime))
        return record
