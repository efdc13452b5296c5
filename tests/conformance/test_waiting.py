"""Waiting for jobs, from loops and threads; observers; stopping and starting again."""

import asyncio
from contextvars import Context
from uuid import uuid4

import pytest

from fastapi_jobs import (
    FastAPIJobs,
    Job,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobStatus,
    dispatcher,
)
from fastapi_jobs.errors import NoCurrentApp, SyncOnLoop
from fastapi_jobs.errors import WaitTimeout as TooLate
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store.moves import DeleteJobs
from fastapi_jobs.testing.conformance.both import AnyTask, Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate
from tests.conformance.rig import AWAY, Rig
from tests.conformance.tasks import calls, ends, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_enqueue_returns_when_the_job_is_accepted(rig: Rig, kind: Kind) -> None:
    """A backend that runs at enqueue has run it by then; the others have stored it."""
    job = await calls.add.of(kind).enqueue(1, 2)
    if rig.can.runs_at_enqueue:
        assert (job.status, job.is_new) == (JobStatus.SUCCEEDED, True)
    else:
        assert job.status in (JobStatus.QUEUED, JobStatus.RUNNING)
    assert (await rig.jobs.get(job.id)).id == job.id
    await job.wait(LIMIT)


async def test_enqueue_does_not_wait_for_the_retry(rig: Rig, kind: Kind) -> None:
    job = await ends.retries_later.of(kind).enqueue(600.0)
    if rig.can.runs_at_enqueue:
        assert (job.status, job.attempt) == (JobStatus.SCHEDULED, 1)
    await (await rig.until(job, JobStatus.SCHEDULED)).cancel()


async def test_wait_says_how_long_it_waited(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    with pytest.raises(TooLate, match=f"Job {job.id} is still scheduled after 0.05 s"):
        await job.wait(0.05)
    with pytest.raises(TimeoutError):
        await job.result(0.05)
    await job.cancel()


async def test_waiting_changes_nothing(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    with pytest.raises(TooLate, match=r"is still running after 0\.05 s"):
        await job.wait(0.05)
    waiting = asyncio.ensure_future(job.wait())
    await asyncio.sleep(0.02)
    waiting.cancel()
    gate.open()
    assert await job.result(LIMIT) == "through"


async def test_wait_returns_however_the_job_ended(rig: Rig, kind: Kind) -> None:
    job = await ends.fails.of(kind).enqueue("value")
    assert (await job.wait(LIMIT)).status is JobStatus.FAILED


async def test_many_wait_for_one_job(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    waiting = [asyncio.ensure_future(job.result(LIMIT)) for _ in range(20)]
    await asyncio.sleep(0.02)
    gate.open()
    assert await asyncio.gather(*waiting) == ["through"] * 20


async def test_wait_for_a_deleted_job(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    await rig.jobs.runtime.store.write(DeleteJobs([job.id]))
    for ask in (job.wait, job.result):
        with pytest.raises(JobNotFound, match=f"There is no job {job.id}"):
            await ask(LIMIT)
    with pytest.raises(JobNotFound):
        await job.refresh()


async def test_a_zero_timeout_looks_once(rig: Rig, kind: Kind) -> None:
    done = await rig.ended(calls.add.of(kind), 1, 2)
    assert (await done.wait(0)).status is JobStatus.SUCCEEDED
    waiting = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    with pytest.raises(TooLate):
        await waiting.wait(0)
    await waiting.cancel()


async def test_everything_from_a_thread(rig: Rig, kind: Kind) -> None:
    def blocking() -> list[object]:
        job: Job[int] = calls.add.of(kind).enqueue_sync(1, 2)
        return [job.result_sync(LIMIT), job.wait_sync(LIMIT).status, job.refresh_sync().attempt]

    assert await asyncio.to_thread(blocking) == [3, JobStatus.SUCCEEDED, 1]


async def test_sync_errors_are_the_same(rig: Rig, kind: Kind) -> None:
    failed = await rig.ended(ends.fails.of(kind), "value")
    cancelled = await rig.ended(ends.cancels_itself.of(kind), "no")
    waiting = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    with pytest.raises(JobFailed, match="ValueError: a wrong value"):
        await asyncio.to_thread(failed.result_sync, LIMIT)
    with pytest.raises(JobCancelled, match="was cancelled: no"):
        await asyncio.to_thread(cancelled.result_sync, LIMIT)
    with pytest.raises(TooLate, match=r"is still scheduled after 0.05 s"):
        await asyncio.to_thread(waiting.wait_sync, 0.05)
    with pytest.raises(JobNotFound):
        await asyncio.to_thread(rig.jobs.get_sync, uuid4())
    await waiting.cancel()


async def test_blocking_calls_are_refused_on_a_loop(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    with pytest.raises(SyncOnLoop, match=r"enqueue_sync\(\) would block .* Use: await enqueue"):
        calls.add.of(kind).enqueue_sync(1, 2)
    with pytest.raises(SyncOnLoop, match="wait_sync"):
        job.wait_sync(1)


async def test_the_observer_hears_a_good_life(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    await rig.events(job.id, ["enqueued", "started", "succeeded"])


async def test_the_observer_hears_retries(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_until.of(kind), 2)
    await rig.events(job.id, ["enqueued", "started", "retrying", "started", "succeeded"])


async def test_the_observer_hears_the_end(rig: Rig, kind: Kind) -> None:
    failed = await rig.ended(ends.fails.of(kind), "value")
    cancelled = await rig.ended(ends.cancels_itself.of(kind), "no")
    await rig.events(failed.id, ["enqueued", "started", "failed"])
    await rig.events(cancelled.id, ["enqueued", "started", "cancelled"])


async def test_the_observer_hears_snoozes(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.snoozes.of(kind), 1)
    await rig.events(job.id, ["enqueued", "started", "snoozed", "started", "succeeded"])


async def test_a_failing_observer_harms_nobody(rig: Rig, kind: Kind) -> None:
    """The broken observer comes first in the list; it fails on every event of this task."""
    job = await rig.ended(calls.nothing.of(kind))
    assert job.status is JobStatus.SUCCEEDED
    await rig.events(job.id, ["enqueued", "started", "succeeded"])


@pytest.mark.usefixtures("in_this_process")
async def test_a_stop_waits_for_what_runs(rig: Rig, kind: Kind, gate: Gate) -> None:
    other = rig.another(shutdown_seconds=20, queues={})
    await other.startup()
    # Only the other app runs this queue: it is shut here.
    other_lane = flow.waits.of(kind).using(queue=AWAY, app=other)
    stopping = asyncio.ensure_future(_stopped_after_start(rig, other, other_lane, gate))
    await gate.reached()
    await asyncio.sleep(0.1)
    assert not stopping.done()
    gate.open()
    job = await stopping
    assert (await rig.jobs.get(job.id)).status is JobStatus.SUCCEEDED


async def _stopped_after_start(
    rig: Rig, other: FastAPIJobs, task: AnyTask, gate: Gate
) -> Job[None]:
    job = await rig.aside(task).enqueue(str(gate))
    await gate.reached()
    await other.shutdown()
    return job


@pytest.mark.usefixtures("in_this_process")
async def test_a_stop_gives_back_what_it_can_stop(rig: Rig, kind: Kind, gate: Gate) -> None:
    """Uncharged, and another app on the same database finishes it."""
    task = flow.waits.of(kind)
    other = rig.another(shutdown_seconds=0, queues={})
    await other.startup()
    job = await rig.aside(task.using(queue=AWAY, app=other)).enqueue(str(gate))
    await gate.reached()
    await other.shutdown()
    released = await rig.jobs.get(job.id)
    assert released.status is JobStatus.QUEUED
    assert released.reason == "released at shutdown"
    assert await rig.outcomes(job) == [AttemptOutcome.RELEASED]
    record = await rig.record(job)
    assert (record.failures, record.crashes) == (0, 0)
    gate.open()
    async with rig.another(queues={}) as third:
        finished = await (await third.get(job.id)).wait(LIMIT)
    assert finished.status is JobStatus.SUCCEEDED
    assert (await rig.outcomes(job))[-1] is AttemptOutcome.SUCCEEDED


@pytest.mark.usefixtures("in_this_process")
async def test_a_stop_does_not_wait_for_what_it_cannot_stop(
    rig: Rig, kind: Kind, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "ENDING_SECONDS", 100 * LIMIT)
    other = rig.another(shutdown_seconds=0, queues={})
    await other.startup()
    task = flow.waits.of(kind).using(queue=AWAY, app=other)
    job = await rig.aside(task).enqueue(str(gate))
    await gate.reached()
    async with asyncio.timeout(LIMIT):
        await other.shutdown()
    gate.open()
    # Nobody serves this queue any more: a host of another test must not find it there.
    await (await rig.jobs.get(job.id)).cancel()


@pytest.mark.usefixtures("in_this_process")
async def test_stop_twice_and_start_again(rig: Rig, kind: Kind) -> None:
    other = rig.another(observers=[])
    await other.startup()
    await other.shutdown()
    await other.shutdown()
    async with other:
        job = await calls.add.of(kind).using(app=other).enqueue(1, 2)
        assert await job.result(LIMIT) == 3


async def test_two_apps_and_none_chosen(rig: Rig, kind: Kind) -> None:
    other = rig.another()

    def enqueue() -> object:
        return asyncio.run(_enqueue(kind))

    with pytest.raises(NoCurrentApp, match="Several FastAPIJobs exist"):
        await asyncio.get_running_loop().run_in_executor(None, Context().run, enqueue)
    await other.shutdown()


async def _enqueue(kind: Kind) -> object:
    return await calls.add.of(kind).enqueue(1, 2)
