"""Cancelling what waits, what runs, and what is over."""

import asyncio
from pathlib import Path

import pytest

from fastapi_jobs import JobCancelled, JobNotFound, JobStatus
from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store.moves import DeleteJobs
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate
from tests.conformance.rig import Rig
from tests.conformance.tasks import calls, ends, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")

CANCELLED, SUCCEEDED = AttemptOutcome.CANCELLED, AttemptOutcome.SUCCEEDED


async def test_a_scheduled_job_is_cancelled_at_once(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    done = await job.cancel()
    assert (done.status, done.reason) == (JobStatus.CANCELLED, "cancelled on request")
    assert done.finished_at is not None
    assert done.cancel_requested_at == done.finished_at
    assert done.attempt == 0
    assert await rig.attempts(job) == []


async def test_the_reason_is_kept(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    done = await job.cancel("ordered twice")
    assert done.reason == "ordered twice"
    with pytest.raises(JobCancelled, match=f"Job {job.id} was cancelled: ordered twice"):
        await done.result(LIMIT)


async def test_cancel_twice_says_the_same(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    first = await job.cancel("first")
    second = await job.cancel("second")
    assert (second.status, second.reason) == (first.status, "first")
    assert second.finished_at == first.finished_at


async def test_a_succeeded_job_cannot_be_cancelled(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    with pytest.raises(
        IllegalMove, match=f"Cannot cancel job {job.id}: it is succeeded. Legal now: retry, delete."
    ) as error:
        await job.cancel()
    assert error.value.legal == ["retry", "delete"]
    assert (await job.refresh()).cancel_requested_at is None


async def test_a_failed_job_cannot_be_cancelled(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails.of(kind), "value")
    with pytest.raises(IllegalMove, match=r"it is failed\. Legal now: retry, delete."):
        await job.cancel()


async def test_a_deleted_job_cannot_be_cancelled(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    assert await rig.jobs.runtime.store.write(DeleteJobs([job.id])) == 1
    with pytest.raises(JobNotFound, match=f"There is no job {job.id}"):
        await job.cancel()


async def test_a_waiting_retry_is_cancelled(rig: Rig, kind: Kind) -> None:
    job = await ends.retries_later.of(kind).enqueue(600.0)
    await rig.until(job, JobStatus.SCHEDULED)
    done = await job.cancel()
    assert (done.status, done.attempt) == (JobStatus.CANCELLED, 1)
    assert await rig.outcomes(job) == [AttemptOutcome.RETRY_LATER]


async def test_a_running_job_is_stopped_where_that_can_be(rig: Rig, kind: Kind, gate: Gate) -> None:
    """Where it cannot, the request is noted and the job ends as what it was."""
    task = flow.waits.of(kind)
    job = await rig.at_gate(task, gate)
    asked = await job.cancel("enough")
    assert asked.cancel_requested_at is not None
    if rig.can.stops(task):
        done = await job.wait(LIMIT)
        assert (done.status, done.reason) == (JobStatus.CANCELLED, "enough")
        assert await rig.outcomes(job) == [CANCELLED]
        return
    assert asked.status is JobStatus.RUNNING
    gate.open()
    done = await job.wait(LIMIT)
    assert (done.status, await done.result()) == (JobStatus.SUCCEEDED, "through")
    assert await rig.outcomes(job) == [SUCCEEDED]


async def test_a_job_is_never_run_beside_itself(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    await job.cancel()
    await asyncio.sleep(0.3)
    assert len(gate.pids) == 1
    gate.open()
    await job.wait(LIMIT)
    assert len(await rig.attempts(job)) == 1


async def test_cancelling_a_running_job_twice_is_no_error(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    await job.cancel()
    again = await job.cancel()
    assert again.cancel_requested_at is not None
    gate.open()
    await job.wait(LIMIT)


async def test_a_sync_task_that_asks_is_stopped_everywhere(rig: Rig, gate: Gate) -> None:
    job = await rig.at_gate(flow.heeds_sync, gate)
    await job.cancel("enough")
    done = await job.wait(LIMIT)
    assert done.status is JobStatus.CANCELLED
    assert await rig.outcomes(job) == [CANCELLED]


async def test_a_sync_task_sees_the_request(rig: Rig, gate: Gate) -> None:
    job = await rig.at_gate(flow.sees_cancel, gate)
    await job.cancel()
    done = await job.wait(LIMIT)
    # A child that can be killed is not asked.
    wanted = JobStatus.CANCELLED if rig.can.stops_sync else JobStatus.SUCCEEDED
    assert done.status is wanted


async def test_a_task_that_swallows_its_cancel_has_succeeded(rig: Rig, gate: Gate) -> None:
    job = await rig.at_gate(flow.swallows, gate)
    await job.cancel()
    done = await job.wait(LIMIT)
    if rig.can.kills:  # it is killed, there is nothing to swallow
        assert done.status is JobStatus.CANCELLED
    else:
        assert (done.status, await done.result()) == (JobStatus.SUCCEEDED, "swallowed")


async def test_a_cancelled_coroutine_cleans_up(rig: Rig, gate: Gate, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = await rig.at_gate(flow.cleans_up, gate, str(trace))
    await job.cancel()
    assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED
    assert trace.exists() is not rig.can.kills


async def test_a_clean_up_that_fails_is_told(rig: Rig, gate: Gate) -> None:
    job = await rig.at_gate(flow.fails_when_cancelled, gate)
    await job.cancel()
    done = await job.wait(LIMIT)
    if rig.can.kills:
        assert done.status is JobStatus.CANCELLED
    else:
        assert (done.status, done.error) == (JobStatus.FAILED, "ValueError: the clean-up failed")


async def test_a_failure_after_a_cancel_request_is_not_retried(
    rig: Rig, kind: Kind, gate: Gate
) -> None:
    job = await rig.at_gate(flow.waits_then_fails.of(kind), gate)
    await job.cancel()
    gate.open()
    done = await job.wait(LIMIT)
    assert done.status is JobStatus.CANCELLED
    assert len(await rig.attempts(job)) == 1


async def test_others_are_not_touched(rig: Rig, kind: Kind, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other_gate = Gate(tmp_path / "other")
    mine = await rig.at_gate(flow.waits.of(kind), gate)
    other = await rig.at_gate(flow.waits.of(kind), other_gate)
    await mine.cancel()
    gate.open()
    await mine.wait(LIMIT)
    assert (await other.refresh()).status is JobStatus.RUNNING
    other_gate.open()
    assert await other.result(LIMIT) == "through"


async def test_a_cancelled_job_leaves_its_slot(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.waits.of(kind).using(queue="conformance-one")
    first = await rig.at_gate(task, gate)
    await first.cancel()
    gate.open()
    await first.wait(LIMIT)
    assert await rig.result(calls.add.of(kind).using(queue="conformance-one"), 1, 1) == 2


async def test_cancel_sync(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    done = await asyncio.to_thread(job.cancel_sync, "from a thread")
    assert (done.status, done.reason) == (JobStatus.CANCELLED, "from a thread")


async def test_waiting_ends_with_the_cancel(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=600).enqueue(1, 2)
    waiting = asyncio.ensure_future(job.wait(LIMIT))
    await asyncio.sleep(0.02)
    await job.cancel()
    assert (await waiting).status is JobStatus.CANCELLED
