"""Whatever a task raises is contained, recorded and no harm to the next job."""

import pytest

from fastapi_jobs import JobCancelled, JobFailed, JobStatus
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.testing.conformance.both import Kind
from tests.conformance.rig import Rig
from tests.conformance.tasks import calls, ends

pytestmark = pytest.mark.asyncio(loop_scope="package")

TEXTS = {
    "value": "ValueError: a wrong value",
    "empty": "ValueError",
    "custom": "tests.conformance.tasks.ends.Custom: ('of our own', 2)",
    "mute": "tests.conformance.tasks.ends.Mute: <its str() failed: RuntimeError>",
    "mute too": "tests.conformance.tasks.ends.MuteToo: <its str() failed: SystemExit>",
    "wrong text": "tests.conformance.tasks.ends.WrongText: <its str() failed: TypeError>",
    "unpicklable": "tests.conformance.tasks.ends.Unpicklable: cannot be pickled",
    "base": "tests.conformance.tasks.ends.OwnBase: below Exception",
    "exit": "SystemExit: 3",
    "interrupt": "KeyboardInterrupt",
    "generator exit": "GeneratorExit",
    "cancelled": "asyncio.exceptions.CancelledError: by itself",
    "stop iteration": "StopIteration: over",
    "stop async iteration": "StopAsyncIteration",
    "timeout": "TimeoutError: its own",
    "group": "ExceptionGroup: several (2 sub-exceptions)",
    "memory": "MemoryError",
    "nul": "ValueError: a\\x00b",
    "surrogate": "ValueError: a?b",
    "bytes": "ValueError: b'\\xff'",
    "unicode": "ValueError: żółw 🐢",
}
IN_A_COROUTINE = {
    # Python itself turns this one into another: no coroutine can raise it.
    "stop iteration": "RuntimeError: coroutine raised StopIteration",
    "stop async iteration": "StopAsyncIteration",
}


@pytest.mark.parametrize("name", ends.ERRORS)
async def test_an_exception_fails_the_job_with_its_words(rig: Rig, kind: Kind, name: str) -> None:
    text = IN_A_COROUTINE.get(name, TEXTS[name]) if kind == "async def" else TEXTS[name]
    job = await rig.ended(ends.fails.of(kind), name)
    assert (job.status, job.error) == (JobStatus.FAILED, text)
    [attempt] = await rig.attempts(job)
    assert attempt.outcome == AttemptOutcome.FAILED
    assert attempt.error_type == text.partition(":")[0]
    assert attempt.traceback
    assert job.cancel_requested_at is None


async def test_after_every_exception_the_next_job_runs(rig: Rig, kind: Kind) -> None:
    for name in ends.ERRORS:
        await ends.fails.of(kind).enqueue(name)
    assert await rig.result(calls.add.of(kind), 1, 1) == 2


async def test_result_of_a_failed_job_says_why(rig: Rig, kind: Kind) -> None:
    job = await ends.fails.of(kind).enqueue("value")
    with pytest.raises(JobFailed, match=f"Job {job.id} failed: ValueError: a wrong value") as error:
        await job.result(30)
    assert error.value.job_id == job.id


async def test_an_enormous_text_is_cut_with_a_mark(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_loudly.of(kind), 5_000_000)
    assert job.error is not None
    assert len(job.error) <= 16_384
    assert job.error.startswith("ValueError: beginxxx")
    assert job.error.endswith("xxxend")
    assert "characters cut" in job.error
    [attempt] = await rig.attempts(job)
    assert attempt.traceback is not None
    assert len(attempt.traceback) <= 4 * 16_384
    assert "characters cut" in attempt.traceback


async def test_an_endless_recursion_fails_the_job(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_deeply.of(kind))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "RecursionError: maximum recursion depth exceeded" in job.error
    assert await rig.result(calls.add.of(kind), 1, 1) == 2


async def test_the_traceback_shows_the_cause(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_for_a_cause.of(kind))
    [attempt] = await rig.attempts(job)
    assert attempt.traceback is not None
    assert "KeyError: 'missing'" in attempt.traceback
    assert "The above exception was the direct cause" in attempt.traceback


async def test_sys_exit_fails_the_job(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.exits.of(kind))
    assert (job.status, job.error) == (JobStatus.FAILED, "SystemExit: leaving")


async def test_cancel_job_cancels(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.cancels_itself.of(kind), "nothing to do")
    assert (job.status, job.reason, job.error) == (JobStatus.CANCELLED, "nothing to do", None)
    assert await rig.outcomes(job) == [AttemptOutcome.CANCELLED]
    with pytest.raises(JobCancelled, match=f"Job {job.id} was cancelled: nothing to do"):
        await job.result()


async def test_cancel_job_without_a_reason(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.cancels_itself.of(kind), "")
    assert (job.status, job.reason) == (JobStatus.CANCELLED, "cancelled by the task")


@pytest.mark.parametrize(
    ("how", "status"), [("cancel", JobStatus.CANCELLED), ("give up", JobStatus.FAILED)]
)
async def test_an_outcome_passes_through_except_exception(
    rig: Rig, kind: Kind, how: str, status: JobStatus
) -> None:
    job = await rig.ended(ends.outcome_through_except.of(kind), how)
    assert job.status is status
    assert job.attempt == 1


async def test_give_up_fails_at_once(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.gives_up.of(kind))
    assert (job.status, job.attempt, job.reason) == (JobStatus.FAILED, 1, "no use")
    assert job.error is not None
    assert job.error.endswith("GiveUp: no use")


async def test_a_reason_that_is_no_text_is_made_one(rig: Rig, kind: Kind) -> None:
    cancelled = await rig.ended(ends.cancels_itself_oddly.of(kind))
    assert (cancelled.status, cancelled.reason) == (JobStatus.CANCELLED, r"a?b\x00c")
    failed = await rig.ended(ends.gives_up_oddly.of(kind))
    assert (failed.status, failed.attempt, failed.reason) == (JobStatus.FAILED, 1, "no text")
