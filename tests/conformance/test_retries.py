"""How often and when a failed job runs again."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fastapi_jobs import JobStatus
from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate
from tests.conformance.rig import Rig
from tests.conformance.tasks import calls, ends, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")

FAILED, SUCCEEDED = AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED


async def test_n_retries_are_n_plus_one_attempts(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_always.of(kind))
    assert (job.status, job.attempt) == (JobStatus.FAILED, 3)
    assert await rig.outcomes(job) == [FAILED] * 3


async def test_a_retry_may_succeed(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_until.of(kind), 2)
    assert (job.status, job.attempt, job.error) == (JobStatus.SUCCEEDED, 2, None)
    assert await job.result() == 2
    assert await rig.outcomes(job) == [FAILED, SUCCEEDED]


async def test_the_last_retry_may_succeed(rig: Rig, kind: Kind) -> None:
    assert await rig.result(ends.fails_until.of(kind), 3) == 3


async def test_one_attempt_too_few(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_until.of(kind), 4)
    assert (job.status, job.attempt, job.error) == (
        JobStatus.FAILED,
        3,
        "ValueError: attempt 3",
    )


async def test_no_retries_by_default(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_by_settings.of(kind))
    assert (job.status, job.attempt) == (JobStatus.FAILED, 1)


async def test_a_waiting_retry_says_so(rig: Rig, kind: Kind) -> None:
    job = await ends.fails_with_long_delay.of(kind).enqueue()
    waiting = await rig.until(job, JobStatus.SCHEDULED, JobStatus.FAILED)
    assert waiting.status is JobStatus.SCHEDULED
    assert waiting.attempt == 1
    assert waiting.error == "ValueError: later"
    assert waiting.reason == "retry 1 of 1"
    assert waiting.finished_at is None
    assert waiting.run_after is not None
    [attempt] = await rig.attempts(job)
    assert attempt.finished_at is not None
    assert waiting.run_after - attempt.finished_at == timedelta(seconds=60)
    await job.cancel()


async def test_a_retry_waits_for_its_delay(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_with_delay.of(kind))
    first, second = await rig.attempts(job)
    assert first.finished_at is not None
    assert second.started_at - first.finished_at >= timedelta(seconds=0.2)


@pytest.mark.parametrize(("what", "attempts"), [("os", 4), ("file", 1), ("value", 1)])
async def test_only_the_chosen_exceptions_are_retried(
    rig: Rig, kind: Kind, what: str, attempts: int
) -> None:
    job = await rig.ended(ends.fails_by_choice.of(kind), what)
    assert (job.status, job.attempt) == (JobStatus.FAILED, attempts)


@pytest.mark.parametrize(("text", "attempts"), [("again please", 2), ("never", 1)])
async def test_when_has_the_last_word(rig: Rig, kind: Kind, text: str, attempts: int) -> None:
    job = await rig.ended(ends.fails_when.of(kind), text)
    assert (job.status, job.attempt) == (JobStatus.FAILED, attempts)


async def test_a_broken_when_fails_the_job_with_the_real_reason(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_with_broken_rule.of(kind))
    assert (job.status, job.attempt, job.error) == (
        JobStatus.FAILED,
        1,
        "ValueError: the real reason",
    )


@pytest.mark.parametrize(("text", "attempts"), [("because", 2), ("", 1)])
async def test_when_may_answer_with_anything(
    rig: Rig, kind: Kind, text: str, attempts: int
) -> None:
    job = await rig.ended(ends.fails_when_it_says_why.of(kind), text)
    assert (job.status, job.attempt) == (JobStatus.FAILED, attempts)


async def test_base_exceptions_are_retried_only_when_named(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.exits_with_retry.of(kind))
    assert (job.status, job.attempt) == (JobStatus.FAILED, 2)


async def test_retry_later_counts_as_a_retry(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.retries_later.of(kind), 0.01)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 2)
    assert await rig.outcomes(job) == [AttemptOutcome.RETRY_LATER] * 2
    assert job.error is not None
    assert "not ready" in job.error


@pytest.mark.parametrize("how", ["inf", "1e300", "nan", "snooze"])
async def test_a_wait_beyond_the_calendar_lasts_till_its_end(
    rig: Rig, kind: Kind, how: str
) -> None:
    job = await ends.waits_for_ever.of(kind).enqueue(how)
    waiting = await rig.until(job, JobStatus.SCHEDULED, JobStatus.FAILED)
    assert (waiting.status, waiting.run_after) == (
        JobStatus.SCHEDULED,
        datetime.max.replace(tzinfo=UTC),
    )
    assert await job.cancel()


async def test_retry_later_waits_as_long_as_it_says(rig: Rig, kind: Kind) -> None:
    job = await ends.retries_later.of(kind).enqueue(30.0)
    waiting = await rig.until(job, JobStatus.SCHEDULED, JobStatus.FAILED)
    assert waiting.reason == "not ready"
    [attempt] = await rig.attempts(job)
    assert waiting.run_after is not None
    assert attempt.finished_at is not None
    assert waiting.run_after - attempt.finished_at == timedelta(seconds=30)
    await job.cancel()


async def test_retry_later_without_retries_fails(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.retries_later_without_retries.of(kind))
    assert (job.status, job.attempt) == (JobStatus.FAILED, 1)
    assert job.error is not None


async def test_a_snooze_is_free(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.snoozes.of(kind), 3)
    assert (job.status, await job.result()) == (JobStatus.SUCCEEDED, 4)
    assert await rig.outcomes(job) == [AttemptOutcome.SNOOZED] * 3 + [SUCCEEDED]
    assert (await rig.record(job)).failures == 0


async def test_a_failed_job_may_be_retried(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_until.of(kind), 5)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 3)
    done = await (await job.retry()).wait(LIMIT)
    assert (done.status, done.attempt, done.error) == (JobStatus.SUCCEEDED, 5, None)
    assert await rig.outcomes(job) == [FAILED] * 4 + [SUCCEEDED]


async def test_a_retried_job_has_all_its_retries_again(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_always.of(kind))
    done = await (await job.retry()).wait(LIMIT)
    assert (done.status, done.attempt) == (JobStatus.FAILED, 6)


async def test_a_succeeded_job_may_run_again(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    done = await (await job.retry()).wait(LIMIT)
    assert (done.status, done.attempt, await done.result()) == (JobStatus.SUCCEEDED, 2, 3)


async def test_a_cancelled_job_may_run_again(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=60).enqueue(1, 2)
    cancelled = await job.cancel()
    assert cancelled.status is JobStatus.CANCELLED
    done = await (await cancelled.retry()).wait(LIMIT)
    assert (done.status, await done.result()) == (JobStatus.SUCCEEDED, 3)
    assert (done.cancel_requested_at, done.reason) == (None, None)


async def test_a_running_job_cannot_be_retried(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    with pytest.raises(
        IllegalMove, match=f"Cannot retry job {job.id}: it is running. Legal now: cancel."
    ):
        await job.retry()
    gate.open()
    assert (await job.wait(LIMIT)).attempt == 1


async def test_a_waiting_job_cannot_be_retried(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=60).enqueue(1, 2)
    with pytest.raises(IllegalMove, match=r"it is scheduled. Legal now: cancel, edit."):
        await job.retry()
    await job.cancel()


async def test_retry_sync(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    again = await asyncio.to_thread(job.retry_sync)
    assert (await again.wait(LIMIT)).attempt == 2
