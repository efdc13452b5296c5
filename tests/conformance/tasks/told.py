"""Tasks that report: progress, log lines, what their context says; and tasks that enqueue."""

import asyncio
import logging
import threading
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import Depends

from fastapi_jobs import Job, JobContext, RetryLater, current_job, task
from fastapi_jobs.testing.conformance.both import Both, both
from tests.conformance.tasks.calls import add

logger = logging.getLogger("tests.conformance.told")

whose: ContextVar[str] = ContextVar("whose", default="nobody's")


def _described(ctx: JobContext) -> dict[str, Any]:
    return {
        "job_id": str(ctx.job_id),
        "task": ctx.task,
        "queue": ctx.queue,
        "attempt": ctx.attempt,
        "metadata": dict(ctx.metadata),
        "cancel_requested": ctx.cancel_requested,
    }


@both()
def context_by_default(ctx: JobContext = Depends()) -> dict[str, Any]:
    return _described(ctx)


@both()
def context_by_annotation(ctx: Annotated[JobContext, Depends(JobContext)]) -> dict[str, Any]:
    return _described(ctx)


@both()
def context_below() -> dict[str, Any]:
    return _deeper()


def _deeper() -> dict[str, Any]:
    return _described(current_job())


@both()
def context_twice(a: int, ctx: JobContext = Depends(), *, other: JobContext = Depends()) -> bool:
    return ctx.job_id == other.job_id and a == 1


@both()
def context_in_thread() -> bool:
    """A bare thread knows nothing of the job."""
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(current_job().job_id is None))
    thread.start()
    thread.join()
    return seen[0]


@both()
def progresses(ctx: JobContext = Depends()) -> None:
    for step in range(5):
        ctx.progress(step, 5, f"step {step}")
    ctx.progress(5, 5, "done")


@both()
def progresses_oddly(ctx: JobContext = Depends()) -> None:
    odd: Any = object()
    ctx.progress(float("nan"), float("inf"), odd)


@both()
def progresses_alone(ctx: JobContext = Depends()) -> None:
    ctx.progress(0.5)


@both()
def logs(ctx: JobContext = Depends()) -> None:
    ctx.log("first", number=1, text="ä", nested={"a": [1]})
    logger.warning("second %s", "with arguments")
    ctx.log("third")


@both()
def logs_an_exception() -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        logger.exception("it went wrong")


@both()
def logs_oddly(ctx: JobContext = Depends()) -> None:
    ctx.log("odd", thing=object(), number=float("nan"), raw=b"\xff", key={1: {2}})
    ctx.log("a\x00b \udc80")


@both()
def logs_much(lines: int, ctx: JobContext = Depends()) -> None:
    for number in range(lines):
        ctx.log(f"line {number}")


@both()
def logs_long(size: int, ctx: JobContext = Depends()) -> None:
    ctx.log("begin" + "x" * size + "end")


@both(retries=1)
def logs_each_attempt(ctx: JobContext = Depends()) -> None:
    ctx.log(f"in attempt {ctx.attempt}")
    if ctx.attempt == 1:
        raise RetryLater(0.01)


@both()
def logs_then_fails(ctx: JobContext = Depends()) -> None:
    ctx.progress(1, 2)
    ctx.log("the last words")
    raise ValueError("over")


@both()
def sees_whose() -> str:
    seen = whose.get()
    whose.set("the job's")
    return seen


def _id(job: Job[Any]) -> str:
    return str(job.id)


@task
def enqueues_sync(a: int) -> str:
    return _id(add.sync.enqueue_sync(a, 1))


@task
async def enqueues_async(a: int) -> str:
    return _id(await add.awaited.enqueue(a, 1))


@task
async def enqueues_from_threads(a: int) -> list[str]:
    return await asyncio.gather(*(asyncio.to_thread(enqueues_sync, a + each) for each in range(3)))


enqueues = Both(enqueues_sync, enqueues_async)
