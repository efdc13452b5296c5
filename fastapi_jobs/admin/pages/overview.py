"""The overview: what goes on, and what needs a person."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.listing import EVERY_JOB
from fastapi_jobs.store import queries
from fastapi_jobs.store.queries import COUNT_CAP


class OverviewPage(Page):
    """`/overview`."""

    name = "Overview"
    path = "/overview"
    icon = "ti ti-dashboard"

    @page("/overview", Action.STATS)
    async def overview(self, request: Request) -> Response:
        """Counts by status, and the live workers."""
        store = self.site.runtime.store
        return await self.render(
            request,
            "overview.html",
            counts=await store.read(queries.count_jobs, EVERY_JOB),
            cap=COUNT_CAP,
            workers=await store.read(queries.get_workers),
        )
