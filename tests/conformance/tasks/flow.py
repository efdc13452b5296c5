"""Tasks that wait, measure, and tell what they saw."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

from fastapi import Depends

from fastapi_jobs import JobContext, Retry, Unique, task
from fastapi_jobs.testing.conformance.both import Both, both
from fastapi_jobs.testing.conformance.gate import LIMIT, STEP, come_to, is_open, note


@task
def waits_sync(gate: str) -> str:
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        time.sleep(STEP)
    return "through"


@task
async def waits_async(gate: str) -> str:
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:  # noqa: ASYNC110  # processes share it
        await asyncio.sleep(STEP)
    return "through"


waits = Both(waits_sync, waits_async)


@task(timeout=0.3)
def slow_sync(gate: str) -> str:
    return waits_sync(gate)


@task(timeout=0.3)
async def slow_async(gate: str) -> str:
    return await waits_async(gate)


slow = Both(slow_sync, slow_async)


@task(timeout=0.2, retry=Retry(max=1, delay=0.01))
async def slow_retried(gate: str) -> str:
    return await waits_async(gate)


@task(timeout=0.2)
def heeds_its_timeout(gate: str, ctx: JobContext = Depends()) -> str:
    end = come_to(gate)
    while time.monotonic() < end:
        ctx.raise_if_cancelled()
        time.sleep(STEP)
    return "never asked"


@both(timeout=30)
def within_time() -> str:
    return "in time"


@task
def heeds_sync(gate: str, ctx: JobContext = Depends()) -> str:
    """Ends when it is asked to, or when the gate opens."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        ctx.raise_if_cancelled()
        time.sleep(STEP)
    return "never asked"


@task
async def swallows(gate: str) -> str:
    """Takes a cancel for no reason to stop."""
    try:
        return await waits_async(gate)
    except asyncio.CancelledError:
        return "swallowed"


@task(retries=3)
def waits_then_fails_sync(gate: str) -> None:
    waits_sync(gate)
    raise ValueError("after the gate")


@task(retries=3)
async def waits_then_fails_async(gate: str) -> None:
    await waits_async(gate)
    raise ValueError("after the gate")


waits_then_fails = Both(waits_then_fails_sync, waits_then_fails_async)


@task
async def cleans_up(gate: str, trace: str) -> str:
    try:
        return await waits_async(gate)
    finally:
        note(trace, "cleaned up")


@task
async def fails_when_cancelled(gate: str) -> str:
    try:
        return await waits_async(gate)
    except asyncio.CancelledError as error:
        raise ValueError("the clean-up failed") from error


@task
def sees_cancel(gate: str, ctx: JobContext = Depends()) -> str:
    end = come_to(gate)
    while not ctx.cancel_requested and time.monotonic() < end:
        time.sleep(STEP)
    return "saw it"


@both()
def notes(file: str, text: str) -> None:
    note(file, text)


@both()
def notes_attempt(file: str, ctx: JobContext = Depends()) -> int:
    note(file, str(ctx.attempt))
    return ctx.attempt


def most_at_once(file: Path) -> int:
    """The largest number of jobs that were between their + and their -."""
    level = most = 0
    for line in file.read_text().split():
        level += 1 if line == "+" else -1
        most = max(most, level)
    return most


@task
def measured_sync(file: str, most: int) -> None:
    note(file, "+")
    end = time.monotonic() + LIMIT
    while most_at_once(Path(file)) < most and time.monotonic() < end:
        time.sleep(STEP)
    time.sleep(0.03)
    note(file, "-")


@task
async def measured_async(file: str, most: int) -> None:
    note(file, "+")
    end = time.monotonic() + LIMIT
    # No event tells: the others may be in other processes.
    while most_at_once(Path(file)) < most and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(STEP)
    await asyncio.sleep(0.03)
    note(file, "-")


measured = Both(measured_sync, measured_async)


@task(max_running=2)
def narrow_sync(file: str) -> None:
    measured_sync(file, 2)


@task(max_running=2)
async def narrow_async(file: str) -> None:
    await measured_async(file, 2)


narrow = Both(narrow_sync, narrow_async)


def _only(a: int, b: str = "") -> str:
    return str(a)


@both(unique=True)
def single(gate: str, a: int = 0) -> str:
    return gate


@both(unique=Unique(key=_only))
def single_by_key(a: int, b: str = "") -> str:
    return b


@both(unique=Unique(on_conflict="reject"))
def single_or_refused(a: int) -> int:
    return a


@both(unique=Unique(key=_only, on_conflict="replace"))
def single_replaced(a: int, b: str = "") -> str:
    return b


@both(unique=Unique(during=timedelta(minutes=5)))
def single_for_a_while(number: int) -> int:
    return number


@task(unique=Unique(during="queued"))
def single_while_queued(gate: str) -> str:
    return waits_sync(gate)


@task(unique=True)
async def single_while_unfinished(gate: str) -> str:
    return await waits_async(gate)


@both(priority=7, queue="conformance-own", tags=["mine"], expires=3600)
def with_options() -> None:
    return None


@both()
def many(number: int) -> int:
    return number
