"""The page of queues."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action


class QueuesPage(Page):
    """`/queues`."""

    name = "Queues"
    path = "/queues"
    icon = "ti ti-stack-2"

    @page("/queues", Action.QUEUES)
    async def queues(self, request: Request) -> Response:
        """What there is."""
        return await self.render(request, "queues.html")
