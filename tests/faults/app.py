"""A real app for a real uvicorn: it enqueues and answers 202, and says how its jobs stand."""

import json
import logging
import os
import resource
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from fastapi_jobs import FastAPIJobs, StoreUnavailable
from fastapi_jobs.errors import WaitTimeout
from fastapi_jobs.tasks import Task
from tests.faults import clock, tasks

logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
clock.install()
jobs = FastAPIJobs(**json.loads(os.environ["FAULTS_SETTINGS"]))
app = FastAPI(lifespan=jobs.lifespan)


app.include_router(jobs.router())


@app.exception_handler(StoreUnavailable)
async def unavailable(request: Request, error: StoreUnavailable) -> JSONResponse:
    """The store cannot be written: nothing was accepted."""
    return JSONResponse({"detail": str(error)}, status_code=503)


@app.get("/ready")
async def ready() -> dict[str, int]:
    """Answers once jobs run here."""
    return {"pid": os.getpid()}


@app.post("/enqueue/{name}", status_code=202)
async def enqueue(name: str, arguments: dict[str, Any], delay: float = 0.0) -> dict[str, Any]:
    """One job of `tasks.name`."""
    task = _task(name)
    if delay:
        task = task.using(run_after=delay)
    return {"job_id": (await task.enqueue(**arguments)).id}


@app.post("/enqueue-many/{name}", status_code=202)
async def enqueue_many(name: str, arguments: dict[str, Any], count: int) -> dict[str, Any]:
    """Many jobs of `tasks.name` at once."""
    task = _task(name)
    made = await jobs.enqueue_many([task.s(**arguments) for _ in range(count)])
    return {"job_ids": [job.id for job in made]}


@app.get("/status/{job_id}")
async def status(job_id: UUID) -> dict[str, Any]:
    """How a job stands, and who says so."""
    job = await jobs.get(job_id)
    return {"status": job.status, "attempt": job.attempt, "id": job.id, "pid": os.getpid()}


@app.get("/result/{job_id}")
async def result(job_id: UUID) -> JSONResponse:
    """What it returned; waits for ever."""
    try:
        return JSONResponse({"result": await (await jobs.get(job_id)).result()})
    except WaitTimeout as error:
        return JSONResponse({"detail": str(error)}, status_code=503)


@app.get("/result-sync/{job_id}")
def result_sync(job_id: UUID) -> JSONResponse:
    """The same in a thread."""
    try:
        return JSONResponse({"result": jobs.get_sync(job_id).result_sync()})
    except WaitTimeout as error:
        return JSONResponse({"detail": str(error)}, status_code=503)


@app.get("/requests")
async def requests() -> list[str]:
    """The paths of the requests under way."""
    return [each.url.path for each in _requests]


@app.middleware("http")
async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Know who is here."""
    _requests.add(request)
    try:
        return await answer(request)
    finally:
        _requests.discard(request)


_requests: set[Request] = set()


@app.post("/cancel/{job_id}")
async def cancel(job_id: UUID) -> dict[str, Any]:
    """Cancel it or ask for it."""
    job = await (await jobs.get(job_id)).cancel()
    return {"status": job.status, "asked": job.cancel_requested_at is not None}


@app.post("/file-limit")
async def file_limit(size: int) -> None:
    """No file of this process grows past `size` bytes; a negative size lifts the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soft = hard if size < 0 else size
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _task(name: str) -> Task[..., Any, Any]:
    found = getattr(tasks, name)
    assert isinstance(found, Task)
    return found
