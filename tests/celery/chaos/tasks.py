"""What runs in the chaos. Each task keeps the ledger of the folder that it is given."""

import asyncio
import time
from pathlib import Path

from fastapi import Depends

from fastapi_jobs import JobContext, task
from fastapi_jobs.testing.conformance.gate import LIMIT, is_open
from tests.faults.ledger import BEGUN, ENDED, append

LOOK_SECONDS = 0.02


@task(api=True)
def note(folder: str, seconds: float = 0.02, ctx: JobContext = Depends()) -> int:
    """Sleep; returns its attempt."""
    append(Path(folder), BEGUN, ctx.job_id, ctx.attempt)
    time.sleep(seconds)
    append(Path(folder), ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt


@task(api=True)
async def note_async(folder: str, seconds: float = 0.02, ctx: JobContext = Depends()) -> int:
    """The same on the worker's event loop."""
    append(Path(folder), BEGUN, ctx.job_id, ctx.attempt)
    await asyncio.sleep(seconds)
    append(Path(folder), ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt


@task(api=True)
def hold(folder: str, gate: str, ctx: JobContext = Depends()) -> int:
    """Run until the gate opens; returns its attempt."""
    append(Path(folder), BEGUN, ctx.job_id, ctx.attempt)
    end = time.monotonic() + 2 * LIMIT
    while not is_open(gate) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
    append(Path(folder), ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt


@task(api=True)
async def hold_async(folder: str, gate: str, ctx: JobContext = Depends()) -> int:
    """The same on the worker's event loop."""
    append(Path(folder), BEGUN, ctx.job_id, ctx.attempt)
    end = time.monotonic() + 2 * LIMIT
    while not is_open(gate) and time.monotonic() < end:  # noqa: ASYNC110 (the event is a file)
        await asyncio.sleep(LOOK_SECONDS)
    append(Path(folder), ENDED, ctx.job_id, ctx.attempt)
    return ctx.attempt
