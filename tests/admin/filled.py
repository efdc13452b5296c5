"""Jobs of every kind whose names, arguments, errors and log lines are dangerous markup."""

import logging
from uuid import UUID

from fastapi import Depends

from fastapi_jobs import FastAPIJobs, GiveUp, JobContext, task

SCRIPT = "<script>document.title='caught'</script><img src=x onerror=\"document.title='caught'\">"
EXCEPTION = "</pre></script>" + SCRIPT
logger = logging.getLogger("tests.admin.filled")


@task(name=f"tests.admin.{SCRIPT}", tags=["<b>tag</b>"])
async def marked(text: str, ctx: JobContext = Depends()) -> str:
    """Succeeds <b>loudly</b>."""
    logger.warning("said %s", text)
    ctx.progress(1, 2, message=text)
    return text


@task(name="tests.admin.filled.fails", retries=0)
async def fails(text: str) -> None:
    """Fails."""
    raise GiveUp(text)


async def fill(jobs: FastAPIJobs) -> list[UUID]:
    """Jobs that succeeded, failed, are due later, and were cancelled."""
    signatures = [
        marked.s(SCRIPT),
        fails.s(EXCEPTION),
        marked.using(run_after=3600, owner=SCRIPT).s(SCRIPT),
        marked.using(run_after=7200, unique_key=SCRIPT).s(SCRIPT),
    ]
    made = await jobs.enqueue_many(signatures)
    await made[-1].cancel()
    for job in made[:2]:
        await job.wait(timeout=30)
    return [job.id for job in made]
