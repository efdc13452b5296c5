"""`drain`, `perform` and the clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fastapi_jobs import FastAPIJobs, JobCancelled, JobFailed, JobStatus
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import InvalidArguments, InvalidOption, SyncOnLoop
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.testing import (
    BackInTime,
    Drained,
    EndlessDrain,
    JobsFailed,
    JobsTest,
    NeedsEventLoop,
)
from tests.testing.tasks import (
    SENT,
    add_up,
    alone,
    cancels_itself,
    enqueues_another,
    fails,
    identify,
    reports,
    send_welcome,
    snoozes_for_ever,
    stale,
    waits_for_another,
    works_the_third_time,
)


def test_drain_runs_what_is_due_and_what_that_enqueues(jobs_test: JobsTest) -> None:
    enqueues_another.enqueue_sync("b@c.d")
    later = send_welcome.using(run_after=60).enqueue_sync("later@c.d")
    assert jobs_test.drain_sync() == Drained(succeeded=2)
    assert SENT == ["b@c.d"]
    assert later.refresh_sync().status is JobStatus.SCHEDULED
    assert jobs_test.drain_sync() == Drained()


async def test_by_priority_then_age(jobs_test: JobsTest) -> None:
    for name, priority in (("a", 0), ("b", 9), ("c", 0)):
        await send_welcome.using(priority=priority).enqueue(name)
    drained = await jobs_test.drain()
    assert (drained, drained.attempts) == (Drained(succeeded=3), 3)
    assert SENT == ["b", "a", "c"]


async def test_a_paused_queue_keeps_its_jobs(jobs_test: JobsTest) -> None:
    shop = FastAPIJobs(name="shop", queues={"mail": {"paused": True}})
    jobs_test.use(shop)
    await send_welcome.enqueue("a")
    assert await jobs_test.drain(scheduled=True) == Drained()
    assert (await jobs_test.perform(send_welcome, "b")).result == 1


async def test_drain_travels_to_what_is_scheduled(jobs_test: JobsTest) -> None:
    began = datetime.now(UTC)
    await send_welcome.using(run_after=timedelta(days=2)).enqueue("b")
    await send_welcome.using(run_after=3600).enqueue("a")
    await works_the_third_time.enqueue()
    assert await jobs_test.drain(scheduled=True) == Drained(succeeded=3, again=2)
    assert SENT == ["a", "b"]
    assert jobs_test.clock.now >= began + timedelta(days=2)


async def test_a_failure_is_raised(jobs_test: JobsTest) -> None:
    await fails.enqueue("no stock")
    await send_welcome.enqueue("a")
    with pytest.raises(JobsFailed) as error:
        await jobs_test.drain()
    first, second, *_, last = str(error.value).splitlines()
    assert first == "1 job failed in drain(); drain(raises=False) only counts them."
    assert second == "  fails(why='no stock'): ValueError: no stock"
    assert last.strip() == "ValueError: no stock"
    assert SENT == ["a"]
    await fails.enqueue("no stock")
    assert await jobs_test.drain(raises=False) == Drained(failed=1)


async def test_a_drain_without_end_is_told(jobs_test: JobsTest) -> None:
    await snoozes_for_ever.enqueue()
    with pytest.raises(EndlessDrain, match=r"has run 20 jobs and finds more, of .*snoozes_for_e"):
        await jobs_test.drain(scheduled=True, limit=20)
    for _ in range(3):
        await add_up.enqueue([1])
    assert await jobs_test.drain(limit=3) == Drained(succeeded=3)


async def test_a_job_that_waits_for_another(jobs_test: JobsTest) -> None:
    job = await waits_for_another.enqueue("a")
    assert await jobs_test.drain(at_once=2) == Drained(succeeded=2)
    assert await job.result() == 1


async def test_cancelled_jobs_are_counted(jobs_test: JobsTest) -> None:
    await cancels_itself.enqueue()
    assert await jobs_test.drain() == Drained(cancelled=1)


async def test_retries_come_when_their_time_has(jobs_test: JobsTest) -> None:
    job = await works_the_third_time.enqueue()
    assert await jobs_test.drain() == Drained(again=1)
    assert await jobs_test.drain() == Drained()
    jobs_test.clock.travel(seconds=60)
    assert await jobs_test.drain() == Drained(again=1)
    jobs_test.clock.travel(seconds=60)
    assert await jobs_test.drain() == Drained()
    jobs_test.clock.travel(minutes=1)
    assert await jobs_test.drain() == Drained(succeeded=1)
    assert await job.result() == 3


async def test_a_job_expires(jobs_test: JobsTest) -> None:
    job = await stale.enqueue()
    jobs_test.clock.travel(hours=1)
    assert await jobs_test.drain() == Drained()
    gone = await job.refresh()
    assert (gone.status, gone.reason, SENT) == (JobStatus.CANCELLED, "expired", [])


async def test_the_clock(jobs_test: JobsTest) -> None:
    began = jobs_test.clock.travel(days=1, hours=2)
    assert timedelta(hours=25) < began - datetime.now(UTC) <= timedelta(hours=26)
    job = await add_up.enqueue([1])
    assert began <= job.created_at <= jobs_test.clock.now
    assert (job.id.int >> 80) / 1000 >= began.timestamp() - 0.001
    moment = began + timedelta(days=3)
    assert jobs_test.clock.travel_to(moment) >= moment
    with pytest.raises(BackInTime, match="The clock cannot travel back to"):
        jobs_test.clock.travel_to(began)
    with pytest.raises(BackInTime):
        jobs_test.clock.travel(seconds=-1)
    with pytest.raises(InvalidOption, match="the datetime is naive"):
        jobs_test.clock.travel_to(datetime(2050, 1, 1))  # noqa: DTZ001


def test_the_clock_is_the_wall_clock_again() -> None:
    assert abs(utc_now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_perform_goes_through_the_runner(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    done = jobs_test.perform_sync(reports)
    assert done.result == "reports 1"
    assert (done.job.status, done.outcome) == (JobStatus.SUCCEEDED, AttemptOutcome.SUCCEEDED)
    assert done.job.progress == {"done": 1.0, "total": 2.0, "message": "half"}
    said = [(line.level, line.logger, line.message, line.fields) for line in done.logs]
    assert ("WARNING", "shop", "of the shop", {}) in said
    assert [line[2:] for line in said if line[2] == "packing"] == [("packing", {"box": 7})]


async def test_perform_recodes_arguments_and_result(jobs_test: JobsTest) -> None:
    numbers = [1, 2]
    assert (await jobs_test.perform(add_up, numbers)).result == 3
    order, at = UUID(int=7), datetime(2024, 2, 29, tzinfo=UTC)
    assert (await jobs_test.perform(identify, order, at=at)).result == (order, at)
    wrong: list[int] = ["1"]  # type: ignore[list-item]
    with pytest.raises(InvalidArguments, match="parameter 'numbers'"):
        await jobs_test.perform(add_up, wrong)


async def test_perform_says_how_it_failed(jobs_test: JobsTest) -> None:
    done = await jobs_test.perform(fails, "no stock")
    assert (done.job.status, done.error) == (JobStatus.FAILED, "ValueError: no stock")
    assert done.traceback is not None
    assert "raise ValueError(why)\nValueError: no stock" in done.traceback
    with pytest.raises(JobFailed, match="ValueError: no stock") as error:
        _ = done.result
    assert error.value.__notes__ == [f"In the task:\n{done.traceback}"]
    cancelled = await jobs_test.perform(cancels_itself)
    with pytest.raises(JobCancelled, match="sold out"):
        _ = cancelled.result


async def test_perform_shows_a_retry_and_drain_goes_on(jobs_test: JobsTest) -> None:
    done = await jobs_test.perform(works_the_third_time)
    assert (done.job.status, done.outcome) == (JobStatus.SCHEDULED, AttemptOutcome.FAILED)
    assert done.job.run_after is not None
    assert done.job.finished_at is None
    assert await jobs_test.drain(scheduled=True) == Drained(succeeded=1, again=1)
    assert await done.job.result() == 3


async def test_perform_counts_for_nothing_enqueued_and_minds_no_limit(jobs_test: JobsTest) -> None:
    job = await alone.enqueue()
    done = await jobs_test.perform(alone.using(run_after=60, queue="narrow"))
    assert done.job.id != job.id
    assert [each.job for each in jobs_test.enqueued(alone)] == [job]
    await jobs_test.perform(send_welcome, "a")
    jobs_test.assert_not_enqueued(send_welcome)


def test_async_methods_in_a_sync_test(jobs_test: JobsTest) -> None:
    for method, arguments in (("drain", ()), ("perform", (add_up, [1]))):
        with pytest.raises(NeedsEventLoop, match=rf"use: jobs_test\.{method}_sync\(\)"):
            getattr(jobs_test, method)(*arguments)


async def test_sync_methods_in_an_async_test(jobs_test: JobsTest) -> None:
    with pytest.raises(SyncOnLoop, match=r"Use: await drain\(\)"):
        jobs_test.drain_sync()
    with pytest.raises(SyncOnLoop, match=r"Use: await perform\(\)"):
        jobs_test.perform_sync(add_up, [1])
    assert await asyncio.to_thread(jobs_test.drain_sync) == Drained()
