"""The page of workers."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action


class WorkersPage(Page):
    """`/workers`."""

    name = "Workers"
    path = "/workers"
    icon = "ti ti-server"

    @page("/workers", Action.WORKERS)
    async def workers(self, request: Request) -> Response:
        """What there is."""
        return await self.render(request, "workers.html")
