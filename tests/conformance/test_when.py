"""When a job runs: its time, its place in the queue, limits and pauses."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from fastapi_jobs import JobCancelled, JobFilter, JobStatus, QueueFull
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate, eventually
from fastapi_jobs.using import Moment
from tests.conformance.rig import AWAY, ONE_LANE, TWO_LANES, Rig
from tests.conformance.tasks import calls, flow
from tests.conformance.tasks.flow import most_at_once

pytestmark = pytest.mark.asyncio(loop_scope="package")

EAST = timezone(timedelta(hours=9))


@pytest.mark.parametrize("how", ["seconds", "timedelta", "datetime", "another zone"])
async def test_run_after(rig: Rig, kind: Kind, how: str) -> None:
    # A fixed moment must not have come before the job is made.
    soon = datetime.now(UTC) + timedelta(seconds=1)
    moments: dict[str, Moment] = {
        "seconds": 0.15,
        "timedelta": timedelta(seconds=0.15),
        "datetime": soon,
        "another zone": soon.astimezone(EAST),
    }
    job = await calls.add.of(kind).using(run_after=moments[how]).enqueue(1, 2)
    assert job.status is JobStatus.SCHEDULED
    assert job.run_after is not None
    assert job.run_after.utcoffset() == timedelta(0)
    done = await job.wait(LIMIT)
    assert done.started_at is not None
    assert done.started_at >= job.run_after


async def test_run_after_in_the_past_is_now(rig: Rig, kind: Kind) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    job = await calls.add.of(kind).using(run_after=long_ago).enqueue(1, 2)
    assert job.run_after is None
    assert await job.result(LIMIT) == 3


async def test_scheduled_jobs_wait_each_for_its_own_time(rig: Rig, kind: Kind) -> None:
    task = calls.add.of(kind).using(queue=ONE_LANE)
    jobs = [await task.using(run_after=wait).enqueue(1, 2) for wait in (600, 0.3, 0.1, 0.2)]
    far, *near = jobs
    for job in near:
        done = await job.wait(LIMIT)
        assert done.started_at is not None
        assert job.run_after is not None
        assert done.started_at >= job.run_after
    assert (await far.refresh()).status is JobStatus.SCHEDULED
    await far.cancel()


async def test_an_expired_job_is_cancelled(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(expires=0.1, run_after=600).enqueue(1, 2)
    done = await job.wait(LIMIT)
    assert (done.status, done.reason, done.attempt) == (JobStatus.CANCELLED, "expired", 0)
    with pytest.raises(JobCancelled, match="was cancelled: expired"):
        await done.result()


async def test_a_job_that_starts_in_time_does_not_expire(rig: Rig, kind: Kind) -> None:
    assert await rig.result(calls.add.of(kind).using(expires=60), 1, 2) == 3


async def test_larger_priorities_run_first(
    rig: Rig, kind: Kind, gate: Gate, tmp_path: Path
) -> None:
    file = tmp_path / "order"
    first = await rig.at_gate(flow.waits.of(kind).using(queue=ONE_LANE), gate)
    task = rig.aside(flow.notes.of(kind)).using(queue=ONE_LANE)
    jobs = [
        await task.using(priority=priority).enqueue(str(file), str(priority))
        for priority in (0, -100, 100, 5, -5)
    ]
    await asyncio.sleep(0.05)
    assert not file.exists()
    gate.open()
    for job in [first, *jobs]:
        await job.wait(LIMIT)
    assert file.read_text().split() == ["100", "5", "0", "-5", "-100"]


async def test_equal_priorities_run_in_the_order_of_enqueue(
    rig: Rig, kind: Kind, gate: Gate, tmp_path: Path
) -> None:
    file = tmp_path / "order"
    first = await rig.at_gate(flow.waits.of(kind).using(queue=ONE_LANE), gate)
    task = rig.aside(flow.notes.of(kind)).using(queue=ONE_LANE)
    jobs = [await task.enqueue(str(file), str(number)) for number in range(6)]
    await asyncio.sleep(0.05)
    gate.open()
    for job in [first, *jobs]:
        await job.wait(LIMIT)
    assert file.read_text().split() == [str(number) for number in range(6)]


@pytest.mark.parametrize(("queue", "limit"), [(ONE_LANE, 1), (TWO_LANES, 2)])
async def test_a_queues_limit_holds(
    rig: Rig, kind: Kind, tmp_path: Path, queue: str, limit: int
) -> None:
    file = tmp_path / "measured"
    task = rig.aside(flow.measured.of(kind)).using(queue=queue)
    jobs = await rig.jobs.enqueue_many([task.s(str(file), limit) for _ in range(6)])
    for job in jobs:
        await job.wait(LIMIT)
    assert most_at_once(file) == limit


async def test_a_tasks_limit_holds(rig: Rig, kind: Kind, tmp_path: Path) -> None:
    file = tmp_path / "measured"
    task = rig.aside(flow.narrow.of(kind))
    jobs = await rig.jobs.enqueue_many([task.s(str(file)) for _ in range(6)])
    for job in jobs:
        await job.wait(LIMIT)
    assert most_at_once(file) == 2


async def test_without_a_limit_jobs_run_side_by_side(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = rig.aside(flow.waits.of(kind))
    jobs = [await task.enqueue(str(gate)) for _ in range(4)]
    await gate.reached(4)
    gate.open()
    for job in jobs:
        assert await job.result(LIMIT) == "through"


async def test_a_full_lane_does_not_hold_up_others(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = rig.aside(flow.waits.of(kind)).using(queue=ONE_LANE)
    jobs = [await task.enqueue(str(gate)) for _ in range(3)]
    await gate.reached()
    assert await rig.result(calls.add.of(kind), 1, 2) == 3
    gate.open()
    for job in jobs:
        await job.wait(LIMIT)


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(
    rig: Rig, kind: Kind, lane: str
) -> None:
    store = rig.jobs.runtime.store
    await store.write(PauseQueue(lane, datetime.now(UTC), by="ann", reason="maintenance"))
    job = await calls.add.of(kind).using(queue=lane).enqueue(1, 2)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert await rig.result(calls.add.of(kind), 1, 2) == 3
    await asyncio.sleep(0.1)
    assert (await job.refresh()).status is JobStatus.QUEUED
    await store.write(ResumeQueue(lane))
    assert await job.result(LIMIT) == 3


async def test_a_pause_leaves_what_runs_alone(rig: Rig, kind: Kind, gate: Gate, lane: str) -> None:
    store = rig.jobs.runtime.store
    job = await rig.at_gate(flow.waits.of(kind).using(queue=lane), gate)
    await store.write(PauseQueue(lane, datetime.now(UTC)))
    gate.open()
    assert await job.result(LIMIT) == "through"
    await store.write(ResumeQueue(lane))


async def test_a_job_waiting_in_a_paused_queue_can_be_cancelled(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(queue=AWAY).enqueue(1, 2)
    assert job.status is JobStatus.QUEUED
    assert (await job.cancel()).status is JobStatus.CANCELLED


async def test_a_full_queue_refuses(rig: Rig, kind: Kind, lane: str) -> None:
    other = rig.another(dispatch=False, max_queued=2)
    async with other:
        task = calls.add.of(kind).using(queue=lane, run_after=600, app=other)
        jobs = [await task.enqueue(1, 2), await task.enqueue(1, 3)]
        with pytest.raises(QueueFull, match=f"Queue '{lane}' holds max_queued = 2 waiting jobs"):
            await task.enqueue(1, 4)
        await jobs[0].cancel()
        jobs.append(await task.enqueue(1, 4))
        for job in jobs:
            await job.cancel()


async def test_a_full_queue_takes_all_or_none(rig: Rig, kind: Kind, lane: str) -> None:
    async with rig.another(dispatch=False, max_queued=2) as other:
        task = calls.add.of(kind).using(queue=lane, run_after=600)
        with pytest.raises(QueueFull):
            await other.enqueue_many([task.s(1, number) for number in range(3)])
    assert (await rig.jobs.list(JobFilter(queue=lane)))[0] == []


async def test_who_enqueues_here_may_run_elsewhere(rig: Rig, kind: Kind) -> None:
    """A process that only enqueues: any worker takes the job."""
    async with rig.another(dispatch=False) as other:
        task = rig.aside(calls.add.of(kind)).using(app=other)
        job = await task.enqueue(1, 2)
        assert await job.result(LIMIT) == 3

        async def seen_here() -> bool:
            return (await rig.jobs.get(job.id)).status is JobStatus.SUCCEEDED

        await eventually(seen_here, "the other app sees it too")
