"""The tasks that `BackendConformance` runs, most of them as `def` and as `async def`."""

import asyncio
import logging
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass

from fastapi import Depends

from fastapi_jobs.context import JobContext, current_job
from fastapi_jobs.errors import CancelJob, GiveUp, RetryLater, Snooze
from fastapi_jobs.retry import Retry
from fastapi_jobs.tasks import task
from fastapi_jobs.testing.conformance.both import Both, both
from fastapi_jobs.testing.conformance.gate import STEP, come_to, is_open

TIMEOUT = 0.5
"""Seconds after which the slow tasks below are to be stopped."""

logger = logging.getLogger("backend.conformance")


@dataclass
class Place:
    """Where a function ran, and on what."""

    pid: int
    on_loop: bool


@both()
def add(a: int, b: int = 2, *, c: int = 0) -> int:
    """Arguments by position, by name and by default."""
    return a + b + c


@both()
def fails(why: str) -> None:
    """Fails as any function may."""
    raise ValueError(why)


@both()
def exits() -> None:
    """Raises what is no Exception."""
    raise SystemExit(3)


@both(retry=Retry(max=2, delay=0.01, factor=1, jitter=False))
def fails_until(attempt: int, ctx: JobContext = Depends()) -> int:
    """Works at the given attempt."""
    if ctx.attempt < attempt:
        raise ValueError(f"attempt {ctx.attempt}")
    return ctx.attempt


@both(retries=1)
def decides(outcome: str, ctx: JobContext = Depends()) -> int:
    """Decides its own end, at the first attempt."""
    if ctx.attempt == 1:
        match outcome:
            case "give up":
                raise GiveUp("no use")
            case "cancel":
                raise CancelJob("not wanted")
            case "retry later":
                raise RetryLater(0.01, "not ready")
            case "snooze":
                raise Snooze(0.01)
    return ctx.attempt


@both()
def returns_an_object() -> object:
    """Returns what JSON cannot hold."""
    return object()


@both()
def reports(ctx: JobContext = Depends()) -> list[str]:
    """Tells of itself in every way."""
    ctx.progress(1, 2, "half")
    ctx.log("by the context", number=7)
    logger.warning("by logging")
    return [str(ctx.job_id), str(current_job().job_id), ctx.queue, ctx.metadata["key"]]


_seen: ContextVar[str] = ContextVar("backend_conformance_seen", default="nothing")


@both()
def leaves_a_mark(mark: str) -> str:
    """What an earlier job left in the context of this one."""
    found = _seen.get()
    _seen.set(mark)
    return found


@task
def where_sync() -> Place:
    """Where a `def` function runs."""
    return Place(os.getpid(), _loop_runs())


@task
async def where_async() -> Place:
    """Where an `async def` function runs."""
    return Place(os.getpid(), _loop_runs())


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@task
def waits_sync(gate: str) -> str:
    """Waits at the gate, blocking."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        time.sleep(STEP)
    return "through"


@task
async def waits_async(gate: str) -> str:
    """Waits at the gate, awaiting."""
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:  # noqa: ASYNC110  # processes share it
        await asyncio.sleep(STEP)
    return "through"


waits = Both(waits_sync, waits_async)


@task(timeout=TIMEOUT)
def slow_sync(gate: str) -> str:
    """Waits at the gate for longer than it may."""
    return waits_sync(gate)


@task(timeout=TIMEOUT)
async def slow_async(gate: str) -> str:
    """The same, awaiting."""
    return await waits_async(gate)


slow = Both(slow_sync, slow_async)


def _heeds(gate: str, ctx: JobContext) -> str:
    end = come_to(gate)
    while not is_open(gate) and time.monotonic() < end:
        ctx.raise_if_cancelled()
        time.sleep(STEP)
    return "never asked"


@task
def heeds(gate: str, ctx: JobContext = Depends()) -> str:
    """Asks all the while whether it should stop."""
    return _heeds(gate, ctx)


@task(timeout=TIMEOUT)
def heeds_its_timeout(gate: str, ctx: JobContext = Depends()) -> str:
    """The same, with a timeout."""
    return _heeds(gate, ctx)


@task
def dies_once(spared: int, ctx: JobContext = Depends()) -> str:
    """Kills its process at the first attempt, unless that is the one it must spare."""
    if os.getpid() == spared:
        return "it runs in the process of the worker"
    if ctx.attempt == 1:
        os._exit(7)
    return f"attempt {ctx.attempt}"
