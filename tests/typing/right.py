"""Calls that both type checkers must accept."""

from typing import Any, assert_type

from fastapi import Depends

from fastapi_jobs import FastAPIJobs, Job, JobContext, JobFilter, JobStatus, Signature, task


@task(queue="mail", retries=5)
async def send(to: str, count: int = 1, ctx: JobContext = Depends()) -> int:
    """An async task with an injected parameter."""
    return count


@task
def report(year: int) -> str:
    """A sync task without options."""
    return str(year)


async def right() -> None:
    """Enqueue in every way."""
    job = await send.enqueue("a", count=2)
    assert_type(job, Job[int])
    assert_type(await job.result(), int)
    assert_type(await send.using(queue="x", priority=3, tags=["a"]).enqueue("a"), Job[int])
    assert_type(send.s("a"), Signature[int])
    assert_type(report.enqueue_sync(2026).result_sync(), str)
    assert_type(report(2026), str)
    assert_type(await send("a", ctx=JobContext()), int)


async def looking(jobs: FastAPIJobs) -> list[str]:
    """List jobs and their log lines."""
    found, _ = await jobs.list(JobFilter(statuses=[JobStatus.FAILED], task=send.name))
    assert_type(found, list[Job[Any]])
    return [line.message for job in found for line in await job.logs(limit=10)]
