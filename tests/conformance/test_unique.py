"""Unique jobs, and many jobs at once."""

import asyncio
import time

import pytest

from fastapi_jobs import DuplicateJob, JobStatus
from fastapi_jobs.errors import IllegalMove, InvalidArguments
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate
from tests.conformance.rig import AWAY, Rig
from tests.conformance.tasks import calls, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_duplicate_returns_the_old_job(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.single.of(kind).using(queue=AWAY)
    first = await task.enqueue(str(gate))
    second = await task.enqueue(str(gate))
    assert (first.is_new, second.is_new) == (True, False)
    assert second.id == first.id
    await first.cancel()


async def test_other_arguments_are_another_job(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.single.of(kind).using(queue=AWAY)
    jobs = [await task.enqueue(str(gate), number) for number in range(2)]
    assert jobs[0].id != jobs[1].id
    for job in jobs:
        await job.cancel()


async def test_another_task_is_another_job(rig: Rig, gate: Gate) -> None:
    jobs = [
        await each.using(queue=AWAY).enqueue(str(gate))
        for each in (flow.single.sync, flow.single.awaited)
    ]
    assert jobs[0].id != jobs[1].id
    for job in jobs:
        await job.cancel()


async def test_the_key_is_free_when_the_job_is_over(rig: Rig, kind: Kind, gate: Gate) -> None:
    task = flow.single.of(kind)
    first = await rig.ended(task, str(gate))
    second = await task.enqueue(str(gate))
    assert second.is_new
    assert second.id != first.id
    await second.wait(LIMIT)


async def test_the_key_is_held_while_the_job_runs(rig: Rig, gate: Gate) -> None:
    first = await rig.at_gate(flow.single_while_unfinished, gate)
    second = await flow.single_while_unfinished.enqueue(str(gate))
    assert (second.id, second.is_new) == (first.id, False)
    gate.open()
    await first.wait(LIMIT)


async def test_a_key_held_while_queued_is_free_once_it_runs(rig: Rig, gate: Gate) -> None:
    first = await rig.at_gate(flow.single_while_queued, gate)
    second = await flow.single_while_queued.using(queue=AWAY).enqueue(str(gate))
    third = await flow.single_while_queued.using(queue=AWAY).enqueue(str(gate))
    assert second.id != first.id
    assert (third.id, third.is_new) == (second.id, False)
    await second.cancel()
    gate.open()
    await first.wait(LIMIT)


async def test_a_key_of_its_own(rig: Rig, kind: Kind) -> None:
    task = flow.single_by_key.of(kind).using(queue=AWAY)
    first = await task.enqueue(7, "first")
    second = await task.enqueue(7, "second")
    assert (second.id, second.is_new) == (first.id, False)
    await first.cancel()


async def test_a_duplicate_may_be_refused(rig: Rig, kind: Kind) -> None:
    task = flow.single_or_refused.of(kind).using(queue=AWAY)
    first = await task.enqueue(1)
    with pytest.raises(DuplicateJob, match=f"Job {first.id} of task .* holds the same unique key"):
        await task.enqueue(1)
    await first.cancel()


async def test_a_duplicate_may_replace(rig: Rig, kind: Kind) -> None:
    task = flow.single_replaced.of(kind).using(queue=AWAY)
    first = await task.enqueue(1, "first")
    second = await task.enqueue(1, "second")
    assert second.is_new
    assert (await first.refresh()).status is JobStatus.CANCELLED
    assert (await second.refresh()).status is JobStatus.QUEUED
    await second.cancel()


async def test_unique_key_makes_any_task_unique(rig: Rig, kind: Kind, lane: str) -> None:
    task = calls.add.of(kind).using(unique_key=lane, queue=AWAY)
    first = await task.enqueue(1, 2)
    second = await task.enqueue(3, 4)
    assert (second.id, second.is_new) == (first.id, False)
    await first.cancel()


async def test_a_window_outlives_the_job(rig: Rig, kind: Kind) -> None:
    task = flow.single_for_a_while.of(kind)
    number = time.time_ns() % 10**12
    first = await rig.ended(task, number)
    second = await task.enqueue(number)
    assert (second.id, second.is_new) == (first.id, False)


async def test_many_at_once_make_one_job(rig: Rig, kind: Kind, lane: str) -> None:
    task = calls.add.of(kind).using(unique_key=lane, queue=AWAY)
    jobs = await asyncio.gather(*(task.enqueue(1, 2) for _ in range(10)))
    assert len({job.id for job in jobs}) == 1
    assert sum(job.is_new for job in jobs) == 1
    await jobs[0].cancel()


async def test_retry_of_a_job_whose_key_is_held(rig: Rig, kind: Kind, lane: str) -> None:
    task = calls.add.of(kind).using(unique_key=lane, queue=AWAY)
    first = await (await task.enqueue(1, 2)).cancel()
    holder = await task.enqueue(1, 2)
    with pytest.raises(IllegalMove, match=f"Its unique key is held by job {holder.id}"):
        await first.retry()
    await holder.cancel()


async def test_enqueue_many_keeps_the_order(rig: Rig, kind: Kind) -> None:
    task = rig.aside(flow.many.of(kind))
    jobs = await rig.jobs.enqueue_many([task.s(number) for number in range(10)])
    assert [await job.result(LIMIT) for job in jobs] == list(range(10))
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    assert all(job.is_new for job in jobs)


async def test_enqueue_many_of_different_tasks(rig: Rig, kind: Kind) -> None:
    both = [rig.aside(calls.add.of(kind)).s(1, 2), rig.aside(flow.many.of(kind)).s(7)]
    jobs = await rig.jobs.enqueue_many(both)
    assert [await job.result(LIMIT) for job in jobs] == [3, 7]


async def test_enqueue_many_of_nothing(rig: Rig) -> None:
    assert await rig.jobs.enqueue_many([]) == []


async def test_enqueue_many_is_all_or_none(rig: Rig, kind: Kind) -> None:
    task = flow.many.of(kind)
    before = await rig.count(task)
    with pytest.raises(InvalidArguments):
        await rig.jobs.enqueue_many([task.s(1), task.s("two")])
    assert await rig.count(task) == before


async def test_enqueue_many_with_a_refused_duplicate_stores_none(rig: Rig, kind: Kind) -> None:
    held = await flow.single_or_refused.of(kind).using(queue=AWAY).enqueue(5)
    other = flow.many.of(kind)
    before = await rig.count(other)
    with pytest.raises(DuplicateJob):
        await rig.jobs.enqueue_many([other.s(1), flow.single_or_refused.of(kind).s(5)])
    assert await rig.count(other) == before
    await held.cancel()


async def test_enqueue_many_with_a_duplicate(rig: Rig, kind: Kind, lane: str) -> None:
    task = calls.add.of(kind).using(unique_key=lane, queue=AWAY)
    first, second = await rig.jobs.enqueue_many([task.s(1, 2), task.s(1, 2)])
    assert first.id == second.id
    assert (first.is_new, second.is_new) == (True, False)
    await first.cancel()


async def test_ten_thousand_in_one_call(rig: Rig) -> None:
    task = flow.many.awaited.using(run_after=86_400)
    jobs = await rig.jobs.enqueue_many([task.s(number) for number in range(10_000)])
    assert len({job.id for job in jobs}) == 10_000
    assert (await jobs[-1].refresh()).status is JobStatus.SCHEDULED
