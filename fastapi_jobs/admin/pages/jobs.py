"""The list of jobs."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.queries import COUNT_CAP

LIMIT = 50


class JobsPage(Page):
    """`/jobs`."""

    name = "Jobs"
    path = "/jobs"
    icon = "ti ti-list"

    @page("/jobs", Action.LIST)
    async def jobs(self, request: Request) -> Response:
        """One page of jobs, newest first."""
        given = request.query_params
        statuses = [JobStatus(each) for each in given.getlist("status") if each in set(JobStatus)]
        which = JobFilter(statuses, given.get("task") or None, given.get("queue") or None)
        store = self.site.runtime.store
        page_ = await store.read(
            queries.list_jobs, which, limit=LIMIT, cursor=given.get("cursor") or None
        )
        return await self.render(
            request,
            "jobs.html",
            which=which,
            page=page_,
            counts=await store.read(queries.count_jobs, JobFilter((), which.task, which.queue)),
            cap=COUNT_CAP,
        )
