"""Tasks of a made-up shop."""

import logging
from datetime import UTC, datetime
from threading import get_ident
from uuid import UUID

from fastapi import Depends

from fastapi_jobs import CancelJob, JobContext, Retry, Snooze, task

SENT: list[str] = []
logger = logging.getLogger("shop")


@task(queue="mail")
async def send_welcome(email: str, name: str = "you", *, times: int = 1) -> int:
    SENT.append(email)
    return times


@task
def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@task
async def anything(*args: int, **options: str) -> list[str]:
    return [*map(str, args), *options.values()]


@task
async def identify(order: UUID, at: datetime) -> tuple[UUID, datetime]:
    return order, at


@task
async def fails(why: str) -> None:
    raise ValueError(why)


@task(retry=Retry(max=3, delay=60, factor=2, jitter=False))
async def works_the_third_time(ctx: JobContext = Depends()) -> int:
    if ctx.attempt < 3:
        raise OSError(f"attempt {ctx.attempt}")
    return ctx.attempt


@task
async def cancels_itself() -> None:
    raise CancelJob("sold out")


@task
async def snoozes_for_ever() -> None:
    raise Snooze(60)


@task
async def enqueues_another(email: str) -> None:
    await send_welcome.enqueue(email)


@task
async def waits_for_another(email: str) -> int:
    job = await send_welcome.enqueue(email)
    return await job.result(20)


@task
def reports(ctx: JobContext = Depends()) -> str:
    ctx.progress(1, 2, "half")
    ctx.log("packing", box=7)
    logger.warning("of the shop")
    assert ctx.job_id is not None
    return f"{ctx.task.rpartition('.')[2]} {ctx.attempt}"


@task
async def where() -> int:
    return get_ident()


@task(expires=3600)
async def stale() -> None:
    SENT.append("stale")


@task(unique=True, max_running=1, queue="narrow")
async def alone() -> datetime:
    return datetime.now(UTC)
