"""The page of tasks."""

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action


class TasksPage(Page):
    """`/tasks`."""

    name = "Tasks"
    path = "/tasks"
    icon = "ti ti-code"

    @page("/tasks", Action.TASKS)
    async def tasks(self, request: Request) -> Response:
        """What there is."""
        return await self.render(request, "tasks.html")
