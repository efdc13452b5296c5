"""What a timeout does: stop the task where that can be, and say so where it cannot."""

import pytest

from fastapi_jobs import JobFailed, JobStatus
from fastapi_jobs.checks import shortcomings
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate, eventually
from tests.conformance.rig import Rig
from tests.conformance.tasks import calls, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_task_past_its_timeout(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.slow.of(kind)
    if rig.can.stops(task):
        # A child that stands still for a while is stopped before it comes to the gate.
        job = await rig.aside(task).enqueue(str(gate))
        done = await job.wait(LIMIT)
        assert (done.status, done.error) == (JobStatus.FAILED, "Timed out after 0.3 s.")
        assert await rig.outcomes(job) == [AttemptOutcome.TIMED_OUT]
        [attempt] = await rig.attempts(job)
        assert attempt.error_type == "TimeoutError"
        with pytest.raises(JobFailed, match=r"Timed out after 0\.3 s"):
            await done.result()
        return
    job = await rig.at_gate(task, gate)

    async def marked() -> bool:
        return (await job.refresh()).reason is not None

    await eventually(marked, "the record says that the timeout has passed")
    now = await job.refresh()
    assert now.status is JobStatus.RUNNING
    assert now.reason == "past its timeout of 0.3 s; a thread cannot be stopped"
    gate.open()
    done = await job.wait(LIMIT)
    assert (done.status, await done.result()) == (JobStatus.SUCCEEDED, "through")
    assert await rig.outcomes(job) == [AttemptOutcome.SUCCEEDED]


async def test_a_timeout_counts_as_a_failure(rig: Rig, gate: Gate) -> None:
    job = await rig.aside(flow.slow_retried).enqueue(str(gate))
    done = await job.wait(LIMIT)
    assert (done.status, done.attempt) == (JobStatus.FAILED, 2)
    assert await rig.outcomes(job) == [AttemptOutcome.TIMED_OUT] * 2
    assert (await rig.record(job)).failures == 2


async def test_a_sync_task_that_asks_ends_at_its_timeout_everywhere(rig: Rig, gate: Gate) -> None:
    job = await rig.aside(flow.heeds_its_timeout).enqueue(str(gate))
    done = await job.wait(LIMIT)
    assert (done.status, done.error) == (JobStatus.FAILED, "Timed out after 0.2 s.")
    assert await rig.outcomes(job) == [AttemptOutcome.TIMED_OUT]


async def test_in_time_is_in_time(rig: Rig, kind: Kind) -> None:
    assert await rig.result(flow.within_time.of(kind)) == "in time"


async def test_the_next_job_runs_after_a_timeout(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.slow.of(kind)
    job = await rig.aside(task).enqueue(str(gate))
    if not rig.can.stops(task):
        await gate.reached()
        gate.open()
    await job.wait(LIMIT)
    assert await rig.result(calls.add.of(kind), 1, 1) == 2


async def test_what_a_timeout_cannot_do_is_said_beforehand(rig: Rig, kind: Kind) -> None:
    task = flow.slow.of(kind)
    found = shortcomings(rig.jobs.settings, rig.jobs.runtime.backends)
    said = [text for definition, text in found if definition.name == task.name]
    assert len(said) == (0 if rig.can.stops(task) else 1)
    for text in said:
        assert "timeout=0.3 cannot stop a def task" in text
        cure = 'the pool "prefork"' if rig.can.is_remote else 'backend="process"'
        assert f"The cure is {cure}." in text
