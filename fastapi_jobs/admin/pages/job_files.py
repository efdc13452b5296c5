"""What is too long for the page of a job, as files of text."""

from collections.abc import Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fastapi_jobs.admin.pages.job import OneJob, number_of
from fastapi_jobs.admin.redaction import read_text, shown_result
from fastapi_jobs.admin.visit import page
from fastapi_jobs.api.access import Action
from fastapi_jobs.models import LogRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.job_view import get_attempt

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class JobFiles(OneJob):
    """`/jobs/{id}/files/…`."""

    name = "Files of a job"

    @page("/jobs/{id}/files/arguments", Action.READ)
    async def arguments_file(self, request: Request) -> Response:
        """Its arguments, without what is secret."""
        job = await self.found(request, Action.READ)
        return _file(f"{job.id}-arguments.json.txt", await read_text(job.task, job.args))

    @page("/jobs/{id}/files/result", Action.READ)
    async def result_file(self, request: Request) -> Response:
        """What it returned, as it is stored; nothing of a secret one."""
        job = await self.found(request, Action.READ)
        result = shown_result(job.task, job.result)
        if result is None:
            raise HTTPException(404, "This job has no result.")
        return _file(f"{job.id}-result.json.txt", result)

    @page("/jobs/{id}/files/traceback", Action.READ)
    async def traceback_file(self, request: Request) -> Response:
        """The whole traceback of one attempt."""
        job = await self.found(request, Action.READ)
        number = number_of(request, "attempt") or job.attempt
        attempt = await self.site.runtime.store.read(get_attempt, job.id, number)
        if attempt is None or attempt.traceback is None:
            raise HTTPException(404, "This attempt has no traceback.")
        return _file(f"{job.id}-traceback-{number}.txt", attempt.traceback)

    @page("/jobs/{id}/files/logs", Action.READ)
    async def logs_file(self, request: Request) -> Response:
        """All log lines of one attempt; there are at most `max_log_lines`."""
        job = await self.found(request, Action.READ)
        number = number_of(request, "attempt") or job.attempt
        lines = await self.site.runtime.store.read(queries.get_logs, job.id, number)
        return _file(f"{job.id}-log-{number}.txt", "".join(_written(lines)))


def _written(lines: list[LogRecord]) -> Iterator[str]:
    for each in lines:
        fields = f" {each.fields}" if each.fields else ""
        yield f"{each.at.isoformat()} {each.level} {each.logger}: {each.message}{fields}\n"


def _file(name: str, text: str) -> Response:
    """A text that browsers save, and never run."""
    disposition = f'attachment; filename="{name}"'
    return PlainTextResponse(text, headers=HEADERS | {"Content-Disposition": disposition})
