"""The page of audit."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action


class AuditPage(Page):
    """`/audit`."""

    name = "Audit"
    path = "/audit"
    icon = "ti ti-history"

    @page("/audit", Action.AUDIT)
    async def audit(self, request: Request) -> Response:
        """What there is."""
        return await self.render(request, "audit.html")
