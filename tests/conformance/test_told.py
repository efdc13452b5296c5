"""What a running task knows and tells: its context, progress and log lines."""

from uuid import UUID

import pytest

from fastapi_jobs import JobContext, JobStatus, current_job
from fastapi_jobs.testing.conformance.both import Both, Kind
from fastapi_jobs.testing.conformance.gate import LIMIT
from tests.conformance.rig import LOG_CAP, Rig
from tests.conformance.tasks import told

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    "both",
    [told.context_by_default, told.context_by_annotation, told.context_below],
    ids=["default", "Annotated", "current_job"],
)
async def test_the_context_knows_the_job(rig: Rig, kind: Kind, both: Both, lane: str) -> None:
    task = both.of(kind).using(queue=lane, metadata={"order": [1, "ä"]})
    job = await rig.ended(task)
    assert await job.result() == {
        "job_id": str(job.id),
        "task": task.name,
        "queue": lane,
        "attempt": 1,
        "metadata": {"order": [1, "ä"]},
        "cancel_requested": False,
    }


async def test_two_injected_parameters_are_the_same_job(rig: Rig, kind: Kind) -> None:
    assert await rig.result(told.context_twice.of(kind), 1) is True


async def test_a_bare_thread_is_outside_the_job(rig: Rig, kind: Kind) -> None:
    assert await rig.result(told.context_in_thread.of(kind)) is True


async def test_the_test_itself_is_outside_every_job(rig: Rig) -> None:
    await rig.result(told.context_below.sync)
    assert current_job().job_id is None


async def test_called_plainly_the_context_is_detached(rig: Rig, kind: Kind) -> None:
    value = told.context_by_default.of(kind)()
    seen = value if kind == "def" else await value
    assert (seen["job_id"], seen["attempt"], seen["cancel_requested"]) == ("None", 0, False)


async def test_a_detached_context_is_harmless(rig: Rig) -> None:
    ctx = JobContext()
    ctx.progress(1, 2, "x")
    ctx.log("line", field=object())
    ctx.raise_if_cancelled()
    assert not ctx.cancel_requested


async def test_the_last_progress_is_kept(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.progresses.of(kind))
    assert job.progress == {"done": 5, "total": 5, "message": "done"}


async def test_progress_without_total_and_message(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.progresses_alone.of(kind))
    assert job.progress == {"done": 0.5, "total": None, "message": None}


async def test_odd_progress_harms_nobody(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.progresses_oddly.of(kind))
    assert job.status is JobStatus.SUCCEEDED
    assert job.progress is not None
    assert (job.progress["done"], job.progress["total"]) == (None, None)


async def test_log_lines_in_their_order(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs.of(kind))
    lines = await rig.logs(job)
    assert [(line.number, line.level, line.logger, line.message) for line in lines] == [
        (1, "INFO", "fastapi_jobs.job", "first"),
        (2, "WARNING", "tests.conformance.told", "second with arguments"),
        (3, "INFO", "fastapi_jobs.job", "third"),
    ]
    assert lines[0].fields == '{"number":1,"text":"ä","nested":{"a":[1]}}'
    assert lines[1].fields is None
    assert all(line.attempt == 1 for line in lines)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert all(job.started_at <= line.at for line in lines)


async def test_a_logged_exception_brings_its_traceback(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_an_exception.of(kind))
    [line] = await rig.logs(job)
    assert line.level == "ERROR"
    assert line.message.startswith("it went wrong\nTraceback")
    assert line.message.endswith("ValueError: inside")


async def test_odd_log_lines_harm_nobody(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_oddly.of(kind))
    assert job.status is JobStatus.SUCCEEDED
    first, second = await rig.logs(job)
    assert first.message == "odd"
    assert first.fields is not None
    assert '"number":null' in first.fields
    assert second.message == "a\\x00b ?"


async def test_too_many_lines_end_with_a_mark(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_much.of(kind), LOG_CAP + 200)
    lines = await rig.logs(job)
    assert [line.message for line in lines[:-1]] == [f"line {each}" for each in range(LOG_CAP)]
    assert lines[-1].message == f"… further lines are cut: max_log_lines is {LOG_CAP} …"
    assert lines[-1].level == "WARNING"


async def test_a_long_line_is_cut(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_long.of(kind), 100_000)
    [line] = await rig.logs(job)
    assert len(line.message) <= 8192
    assert "characters cut" in line.message
    assert line.message.startswith("begin")
    assert line.message.endswith("end")


async def test_lines_belong_to_their_attempt(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_each_attempt.of(kind))
    lines = await rig.logs(job)
    assert [(line.attempt, line.number, line.message) for line in lines] == [
        (1, 1, "in attempt 1"),
        (2, 1, "in attempt 2"),
    ]


async def test_what_was_told_before_a_failure_is_kept(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(told.logs_then_fails.of(kind))
    assert job.status is JobStatus.FAILED
    assert job.progress == {"done": 1, "total": 2, "message": None}
    assert [line.message for line in await rig.logs(job)] == ["the last words"]


async def test_context_variables_of_the_enqueuer_stay_outside(rig: Rig, kind: Kind) -> None:
    token = told.whose.set("the enqueuer's")
    try:
        first = await rig.result(told.sees_whose.of(kind))
        assert told.whose.get() == "the enqueuer's"
    finally:
        told.whose.reset(token)
    assert first == "nobody's"


async def test_context_variables_of_a_job_stay_in_it(rig: Rig, kind: Kind) -> None:
    for _ in range(3):
        assert await rig.result(told.sees_whose.of(kind)) == "nobody's"
    assert told.whose.get() == "nobody's"


async def test_a_task_enqueues_a_job(rig: Rig, kind: Kind) -> None:
    inner = await rig.result(told.enqueues.of(kind), 2)
    job = await rig.jobs.get(UUID(inner))
    assert await job.result(LIMIT) == 3


async def test_threads_of_a_task_enqueue_jobs(rig: Rig) -> None:
    inner = await rig.result(told.enqueues_from_threads, 2)
    jobs = [await rig.jobs.get(UUID(each)) for each in inner]
    assert [await job.result(LIMIT) for job in jobs] == [3, 4, 5]
