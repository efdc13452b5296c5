"""Jobs of every status, made by what really happens to jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from fastapi import FastAPI

from fastapi_jobs import FastAPIJobs, Job
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from tests.admin import job_tasks as tasks
from tests.admin.serving import Site, make_jobs

LONG = 30.0
STILL = "still"
"""A queue that is paused."""


@asynccontextmanager
async def started(url: str, **overrides: Any) -> AsyncIterator[Site]:
    """A started app with a paused queue."""
    jobs, app = make_jobs(url, **{"queues": {STILL: {"paused": True}}} | overrides), FastAPI()
    jobs.init_app(app)
    async with app.router.lifespan_context(app):
        yield Site(app, jobs)


async def make(jobs: FastAPIJobs, status: JobStatus) -> Job[Any]:
    """A job that is in this status, and stays."""
    match status:
        case JobStatus.SCHEDULED:
            return await tasks.add.using(run_after=3600, app=jobs).enqueue(1)
        case JobStatus.QUEUED:
            return await tasks.add.using(queue=STILL, app=jobs).enqueue(1)
        case JobStatus.RUNNING:
            return await running(jobs)
        case JobStatus.SUCCEEDED:
            return await (await tasks.add.using(app=jobs).enqueue(1, b=2)).wait(LONG)
        case JobStatus.FAILED:
            return await (await tasks.break_down.using(app=jobs).enqueue("A-1")).wait(LONG)
        case _:
            job = await tasks.add.using(run_after=3600, app=jobs).enqueue(1)
            return await job.cancel()


async def running(jobs: FastAPIJobs) -> Job[Any]:
    """A job that has told its progress, and goes on for ever."""
    job: Job[Any] = await tasks.stay.using(app=jobs).enqueue()
    async with asyncio.timeout(LONG):
        while job.progress is None:
            job = await job.refresh()
    return job


async def record(jobs: FastAPIJobs, job_id: UUID) -> JobRecord | None:
    """The job as it is stored."""
    return await jobs.runtime.store.read(queries.get_job, job_id)


async def count(jobs: FastAPIJobs) -> int:
    """How many jobs there are."""
    return len((await jobs.runtime.store.read(queries.list_jobs, JobFilter())).items)
