"""Tasks for the overview, the queues and the workers."""

import asyncio

from fastapi_jobs import task


@task
async def fine() -> int:
    """Succeeds."""
    return 1


@task(queue="mail")
async def broken(why: str) -> None:
    """Fails."""
    raise ValueError(why)


@task(queue="reports")
async def waits() -> None:
    """Runs until the app stops."""
    await asyncio.Event().wait()
