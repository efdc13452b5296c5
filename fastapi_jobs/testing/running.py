"""Carrying out jobs in a test: the real steps, on the loop of the started app."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from fastapi_jobs.by_hand import ByHand, Ran
from fastapi_jobs.current import choose, unchoose
from fastapi_jobs.enqueueing import new_job
from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.handle import get_job, refuse_on_loop
from fastapi_jobs.logged import logged_line
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.whole import next_scheduled
from fastapi_jobs.testing.clock import Clock
from fastapi_jobs.testing.errors import EndlessDrain, JobsFailed, NeedsEventLoop
from fastapi_jobs.testing.values import Drained, Performed, call_text
from fastapi_jobs.using import Using

T = TypeVar("T")


def demand_loop(method: str) -> None:
    """Refuse an awaitable method where nothing can await it.

    Raises:
        NeedsEventLoop
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise NeedsEventLoop(method) from None


async def on_its_loop(runtime: Runtime, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await `work` on the loop of the started app, else here."""
    loop = runtime.loop
    if loop is None or loop is asyncio.get_running_loop() or not loop.is_running():
        return await _with(runtime, work)
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_with(runtime, work), loop))


def on_its_loop_sync(
    runtime: Runtime, method: str, work: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """The same, blocking.

    Raises:
        SyncOnLoop: an event loop runs here.
    """
    refuse_on_loop(method)
    loop = runtime.loop
    if loop is None or not loop.is_running():
        return asyncio.run(_with(runtime, work))
    return asyncio.run_coroutine_threadsafe(_with(runtime, work), loop).result()


async def _with(runtime: Runtime, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`runtime` is the current one of the jobs that run."""
    chosen = choose(runtime)
    try:
        return await work()
    finally:
        unchoose(chosen)


async def drain(
    runtime: Runtime, clock: Clock, *, scheduled: bool, raises: bool, at_once: int, limit: int
) -> Drained:
    """See `JobsTest.drain`."""
    ran: list[Ran] = []
    async with ByHand(runtime.store, runtime.settings, runtime.observers, at_once) as hand:
        while True:
            ran += await hand.run_due(limit + 1 - len(ran))
            if len(ran) > limit:
                raise EndlessDrain(limit, sorted({each.claimed.task for each in ran[-20:]}))
            due = await runtime.store.read(next_scheduled) if scheduled else None
            if due is None:
                break
            clock.travel_to(max(due, clock.now))
    if raises:
        await _raise_for(runtime, [each for each in ran if each.status is JobStatus.FAILED])
    count = Counter(each.status for each in ran)
    return Drained(
        succeeded=count[JobStatus.SUCCEEDED],
        failed=count[JobStatus.FAILED],
        cancelled=count[JobStatus.CANCELLED],
        again=count[JobStatus.SCHEDULED] + count[JobStatus.QUEUED],
    )


async def _raise_for(runtime: Runtime, failed: Sequence[Ran]) -> None:
    failures = []
    for each in failed:
        claimed = each.claimed
        attempts = await runtime.store.read(queries.get_attempts, claimed.id)
        last = next(one for one in attempts if one.number == claimed.attempt)
        arguments = registry.find(claimed.task).arguments.values(claimed.args)
        call = call_text(claimed.task, arguments)
        failures.append((call, last.error or last.outcome or "", last.traceback or ""))
    if failures:
        raise JobsFailed(failures)


async def perform(
    runtime: Runtime,
    definition: TaskDefinition,
    using: Using,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> Performed[Any]:
    """See `JobsTest.perform`."""
    if using.session is not None:
        rule = "perform stores its job by itself. Leave it out."
        raise InvalidOption("session", using.session, rule)
    job = new_job(runtime, definition, using, args, kwargs)
    # It runs now, whatever else waits or holds its key.
    job.run_after = job.expires_at = job.unique = job.max_queued = None
    await runtime.store.write(InsertJobs([job]))
    async with ByHand(runtime.store, runtime.settings, runtime.observers) as hand:
        await hand.run(job.id, unlimited=True)
    store = runtime.store
    record = await store.read(queries.get_job, job.id)
    [attempt] = await store.read(queries.get_attempts, job.id)
    logs = await store.read(queries.get_logs, job.id)
    stored = None if record is None else record.result
    return Performed(
        job=await get_job(runtime, job.id),
        outcome=AttemptOutcome(attempt.outcome or AttemptOutcome.RELEASED),
        error=attempt.error,
        traceback=attempt.traceback,
        logs=[logged_line(each) for each in logs],
        _result=None if stored is None else definition.result.load(stored),
    )
