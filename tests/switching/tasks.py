"""What an app may ask of a job: each as a `def` and as an `async def` task."""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel

from fastapi_jobs import (
    CancelJob,
    GiveUp,
    JobContext,
    Retry,
    RetryLater,
    Snooze,
    current_job,
    task,
)
from fastapi_jobs.testing.conformance.both import Both, both
from fastapi_jobs.testing.conformance.gate import come_to, is_open

logger = logging.getLogger("shop")

AT_ONCE = Retry(max=2, delay=0.001, jitter=False)


class Size(StrEnum):
    """A word of a small language."""

    SMALL = "small"
    LARGE = "large"


class Parcel(BaseModel):
    """What goes in and comes out."""

    id: UUID
    size: Size
    weight: Decimal
    sent_at: datetime
    within: timedelta
    labels: list[str] = []


class Refused(Exception):
    """An error of the app's own."""


@both(api=True)
def repack(parcel: Parcel, label: str = "fragile") -> Parcel:
    """A model in, a model out."""
    late = parcel.sent_at.astimezone(UTC) + parcel.within
    return parcel.model_copy(update={"sent_at": late, "labels": [*parcel.labels, label]})


@both(api=True)
def returns(value: Any) -> Any:
    """Whatever JSON there is."""
    return value


@both(api=True)
def tells(ctx: JobContext = Depends()) -> dict[str, Any]:
    """Progress and log lines by every way there is."""
    for done in range(1, 4):
        ctx.progress(done, 3, f"step {done}")
    ctx.log("packed", parcels=3, nested={"ä": [1, None]})
    logger.warning("low on %s", "tape")
    current_job().log("below")
    try:
        raise Refused("inside")
    except Refused:
        logger.exception("caught")
    return {"attempt": ctx.attempt, "queue": ctx.queue, "metadata": dict(ctx.metadata)}


@both(api=True)
def fails(text: str) -> None:
    """An error with a cause."""
    try:
        int(text)
    except ValueError as error:
        raise Refused(f"{text} is no number") from error


@both(api=True, retry=AT_ONCE)
def recovers(ctx: JobContext = Depends()) -> int:
    """Fails twice."""
    ctx.log("trying", attempt=ctx.attempt)
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt} was in vain")
    return ctx.attempt


@both(api=True, retry=AT_ONCE)
def never_recovers() -> None:
    """Fails three times."""
    raise ConnectionError("nobody there")


@both(api=True, retries=5)
def gives_up() -> None:
    """No further attempt."""
    raise GiveUp("the address does not exist")


@both(api=True, retries=1)
def later(ctx: JobContext = Depends()) -> int:
    """Says itself when it wants to run again."""
    if ctx.attempt == 1:
        raise RetryLater(0.001, "the shop is closed")
    return ctx.attempt


@both(api=True)
def snoozes(ctx: JobContext = Depends()) -> int:
    """Runs again, uncharged."""
    if ctx.attempt == 1:
        raise Snooze(0.001)
    return ctx.attempt


@both(api=True)
def withdraws() -> None:
    """Cancels itself."""
    raise CancelJob("sold out")


@both(api=True)
def returns_no_json() -> Any:
    """What cannot be stored."""
    return Refused


@both(api=True, store_result=False)
def forgets() -> int:
    """Its result is not kept."""
    return 7


@both(api=True, unique=True)
def alone(number: int) -> int:
    """Once for each number."""
    return number


@both(api=True)
def exits() -> None:
    """Wants to end the process."""
    raise SystemExit(3)


@task(api=True)
def enqueues(ctx: JobContext = Depends()) -> str:
    """Another job from inside this one."""
    return str(returns.sync.using(metadata={"of": str(ctx.job_id)}).enqueue_sync(1).id)


@task(api=True, name="tests.switching.tasks.enqueues/async")
async def enqueues_async(ctx: JobContext = Depends()) -> str:
    """The same."""
    return str((await returns.sync.using(metadata={"of": str(ctx.job_id)}).enqueue(1)).id)


@task(api=True)
def waits(gate: str) -> str:
    """Runs until the gate opens, and cannot be asked to end."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        time.sleep(0.005)
    return "through"


@task(api=True, name="tests.switching.tasks.waits/async")
async def waits_async(gate: str) -> str:
    """The same on an event loop, where it can be stopped."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:  # noqa: ASYNC110 (the event is a file)
        await asyncio.sleep(0.005)
    return "through"


@task(api=True)
def listens(gate: str, ctx: JobContext = Depends()) -> None:
    """Ends by itself when it is asked to."""
    end = come_to(gate)
    while time.monotonic() < end:
        ctx.raise_if_cancelled()
        time.sleep(0.005)


@task(api=True, timeout=0.3)
def overdue(gate: str) -> None:
    """Takes too long."""
    waits(gate)


@task(api=True, name="tests.switching.tasks.overdue/async", timeout=0.3)
async def overdue_async(gate: str) -> None:
    """The same on an event loop."""
    await waits_async(gate)


ENQUEUES = Both(enqueues, enqueues_async)
WAITS = Both(waits, waits_async)
OVERDUE = Both(overdue, overdue_async)
