"""The pages of the shop: rendered here, complete without a script."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.exceptions import HTTPException as StarletteHTTPException

from example_project import people
from example_project.places import HERE, files_of
from example_project.shop import jobs
from example_project.starting import SUFFIXES, wants_page
from example_project.telling import sentence, steps, title
from fastapi_jobs import FastAPIJobsError, Job, JobFilter, JobNotFound, JobStatus

SHOWN = 12
POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " + (
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(HERE / "templates")
templates.env.globals.update(
    prefix=jobs.settings.api_prefix, people=people.PEOPLE, title=title, Status=JobStatus
)


def page(request: Request, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one, for whoever asks."""
    return templates.TemplateResponse(
        request,
        template,
        {"me": people.who(request), **values},
        status_code=status_code,
        headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"},
    )


async def _latest(request: Request) -> list[Job[Any]]:
    seen = people.scope(request).narrow(JobFilter())
    if seen is None:
        return []
    found, _ = await jobs.list(seen, limit=SHOWN)
    return found


async def own_job(request: Request, job_id: UUID) -> Job[Any]:
    """The job, if whoever asks may see it; else it does not exist."""
    try:
        job = await jobs.get(job_id)
    except JobNotFound:
        job = None
    if job is None or not people.scope(request).sees(job.owner):
        raise HTTPException(404, "You have no such job.")
    return job


OwnJob = Annotated[Job[Any], Depends(own_job)]


@router.get("/")
async def first_page(request: Request) -> HTMLResponse:
    """What there is to click, and the latest jobs."""
    number = f"A-{uuid4().hex[:6].upper()}"
    return page(request, "index.html", jobs=await _latest(request), number=number)


@router.get("/latest")
async def latest(request: Request) -> HTMLResponse:
    """The latest jobs alone, for the script that keeps them fresh."""
    return page(request, "_latest.html", jobs=await _latest(request))


@router.post("/sign-in")
async def sign_in(name: Annotated[str, Form()]) -> RedirectResponse:
    """Be somebody else from now on."""
    if name not in people.PEOPLE:
        raise HTTPException(422, f"{name!r} is nobody here: {', '.join(people.PEOPLE)}.")
    answer = RedirectResponse("/", 303)
    answer.set_cookie(people.COOKIE, name, httponly=True, samesite="lax")
    return answer


@router.get("/work/{job_id}")
async def job_page(request: Request, job: OwnJob) -> HTMLResponse:
    """One job and what it made."""
    return page(request, "job.html", **await _about(job))


@router.get("/work/{job_id}/now")
async def job_now(request: Request, job: OwnJob) -> HTMLResponse:
    """The changing part of its page, for the script that keeps it fresh."""
    return page(request, "_job.html", **await _about(job))


async def _about(job: Job[Any]) -> dict[str, Any]:
    files = files_of(job.id)
    return {
        "job": job,
        "pictures": [file.name for file in files if file.suffix in SUFFIXES],
        "texts": [file.name for file in files if file.suffix not in SUFFIXES],
        "steps": await steps(job),
        "result": sentence(await job.result()) if job.status is JobStatus.SUCCEEDED else "",
    }


@router.get("/work/{job_id}/files/{name}")
async def result_file(job: OwnJob, name: str) -> FileResponse:
    """A file that the job made."""
    files: dict[str, Path] = {file.name: file for file in files_of(job.id)}
    if name not in files:
        raise HTTPException(404, "This job has no such file.")
    return FileResponse(files[name], headers={"X-Content-Type-Options": "nosniff"})


@router.post("/work/{job_id}/cancel")
async def cancel(request: Request, job: OwnJob) -> RedirectResponse:
    """Cancel it, or ask it to end."""
    return await _act(request, job, job.cancel)


@router.post("/work/{job_id}/retry")
async def retry(request: Request, job: OwnJob) -> RedirectResponse:
    """Run it again."""
    return await _act(request, job, job.retry)


async def _act(
    request: Request, job: Job[Any], action: Callable[[], Awaitable[Job[Any]]]
) -> RedirectResponse:
    try:
        await action()
    except FastAPIJobsError as error:
        raise HTTPException(409, str(error)) from error
    return RedirectResponse(request.url_for("job_page", job_id=job.id), 303)


async def show_problem(request: Request, error: Exception) -> Response:
    """A problem as a page for a browser, as JSON for a program."""
    match error:
        case StarletteHTTPException(status_code=status, detail=detail) if wants_page(request):
            return page(request, "problem.html", status, detail=detail)
        case StarletteHTTPException():
            return await http_exception_handler(request, error)
        case RequestValidationError() if wants_page(request):
            rules = " ".join(str(each["msg"]) for each in error.errors())
            return page(request, "problem.html", 422, detail=rules)
        case RequestValidationError():
            return await request_validation_exception_handler(request, error)
    raise error
