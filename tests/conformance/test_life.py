"""What a job and its attempts say of themselves over their life."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from fastapi_jobs import JobFilter, JobNotFound, JobStatus
from fastapi_jobs.errors import InvalidCursor
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate, eventually
from tests.conformance.rig import AWAY, Rig
from tests.conformance.tasks import calls, ends, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_new_job_tells_what_was_asked(rig: Rig, kind: Kind) -> None:
    before = datetime.now(UTC)
    task = calls.add.of(kind)
    job = await task.using(run_after=60, priority=3, owner="ann").enqueue(1, 2)
    assert job.is_new
    assert job.id.version == 7
    assert (job.task, job.queue, job.priority, job.owner) == (task.name, "default", 3, "ann")
    assert (job.status, job.attempt) == (JobStatus.SCHEDULED, 0)
    assert before <= job.created_at <= datetime.now(UTC)
    assert job.run_after == job.created_at + timedelta(seconds=60)
    empty = (job.started_at, job.finished_at, job.progress, job.error, job.cancel_requested_at)
    assert empty == (None,) * 5
    await job.cancel()


async def test_enqueue_answers_what_is_stored(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(run_after=60, tags=["a"], metadata={"k": 1}).enqueue(1, 2)
    stored = await job.refresh()
    for name in ("id", "task", "queue", "status", "attempt", "priority", "created_at", "run_after"):
        assert getattr(job, name) == getattr(stored, name), name
    assert (list(stored.tags), stored.metadata) == (["a"], {"k": 1})
    await job.cancel()


async def test_the_statuses_of_a_good_life(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await flow.waits.of(kind).using(run_after=0.2).enqueue(str(gate))
    seen = [job.status]
    await gate.reached()
    seen.append((await job.refresh()).status)
    gate.open()
    seen.append((await job.wait(LIMIT)).status)
    assert seen == [JobStatus.SCHEDULED, JobStatus.RUNNING, JobStatus.SUCCEEDED]


async def test_a_job_in_a_paused_queue_is_queued(rig: Rig, kind: Kind) -> None:
    job = await calls.add.of(kind).using(queue=AWAY).enqueue(1, 2)
    assert job.status is JobStatus.QUEUED
    # It is passed over: jobs that come later end before it.
    await rig.ended(calls.add.of(kind), 1, 2)
    assert (await job.refresh()).status is JobStatus.QUEUED
    assert (await job.cancel()).status is JobStatus.CANCELLED


async def test_the_times_of_a_job_are_aware_and_in_order(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    for moment in (job.created_at, job.started_at, job.finished_at):
        assert moment.tzinfo is not None
        assert moment.utcoffset() == timedelta(0)


async def test_a_finished_job_is_clean(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)
    assert (job.error, job.reason, job.cancel_requested_at) == (None, None, None)


async def test_one_attempt_is_one_row(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    [attempt] = await rig.attempts(job)
    assert (attempt.number, attempt.outcome) == (1, AttemptOutcome.SUCCEEDED)
    assert attempt.backend == rig.backend
    assert (attempt.error_type, attempt.error, attempt.traceback) == (None, None, None)
    assert attempt.finished_at is not None
    assert job.created_at <= attempt.started_at <= attempt.finished_at
    assert (attempt.started_at, attempt.finished_at) == (job.started_at, job.finished_at)


async def test_a_running_attempt_is_a_row_without_an_end(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    assert (job.status, job.attempt) == (JobStatus.RUNNING, 1)
    [attempt] = await rig.attempts(job)
    assert (attempt.number, attempt.outcome, attempt.finished_at) == (1, None, None)
    workers = await rig.jobs.runtime.store.read(queries.get_workers)
    assert attempt.worker_id in [worker.id for worker in workers]
    gate.open()
    await job.wait(LIMIT)


async def test_a_failed_attempt_keeps_its_error(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails.of(kind), "custom")
    [attempt] = await rig.attempts(job)
    assert attempt.outcome == AttemptOutcome.FAILED
    assert attempt.error_type == "tests.conformance.tasks.ends.Custom"
    assert attempt.error == "tests.conformance.tasks.ends.Custom: ('of our own', 2)"
    assert attempt.traceback is not None
    assert "in fails\n" in attempt.traceback
    assert "raise ERRORS[name]()" in attempt.traceback
    assert job.error == attempt.error


async def test_each_attempt_has_its_row(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(ends.fails_until.of(kind), 3)
    rows = await rig.attempts(job)
    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.error for row in rows] == ["ValueError: attempt 1", "ValueError: attempt 2", None]
    assert len({row.fence for row in rows}) == 3
    starts = [row.started_at for row in rows]
    assert starts == sorted(starts)


async def test_a_backend_of_its_own_is_recorded(rig: Rig, kind: Kind) -> None:
    task = calls.add.of(kind).using(backend="thread")
    job = await rig.ended(task, 1, 2)
    [attempt] = await rig.attempts(job)
    assert attempt.backend == "thread"


async def test_a_value_never_changes_itself(rig: Rig, kind: Kind, gate: Gate) -> None:
    job = await rig.at_gate(flow.waits.of(kind), gate)
    gate.open()
    done = await job.wait(LIMIT)
    assert job.status is JobStatus.RUNNING
    assert done.status is JobStatus.SUCCEEDED
    assert (await job.refresh()) == done


async def test_get_finds_the_job(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.add.of(kind), 1, 2)
    same = await rig.jobs.get(job.id)
    assert same == job
    assert await same.result() == 3


async def test_get_of_an_unknown_id(rig: Rig) -> None:
    nobody = uuid4()
    with pytest.raises(JobNotFound, match=f"There is no job {nobody}"):
        await rig.jobs.get(nobody)


async def test_options_of_the_task_hold(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(flow.with_options.of(kind))
    assert (job.priority, job.queue, list(job.tags)) == (7, "conformance-own", ["mine"])
    record = await rig.record(job)
    assert record.expires_at == record.created_at + timedelta(hours=1)


async def test_using_wins_over_the_task(rig: Rig, kind: Kind) -> None:
    task = flow.with_options.of(kind).using(priority=-1, queue="conformance-else", tags=["yours"])
    job = await rig.ended(task)
    assert (job.priority, job.queue) == (-1, "conformance-else")
    assert list(job.tags) == ["mine", "yours"]


async def test_metadata_tags_and_owner_are_kept(rig: Rig, kind: Kind) -> None:
    meta: dict[str, Any] = {"order": 7, "nested": {"a": [1, None, "ä"]}}
    task = calls.add.of(kind).using(owner="ann", tags=["x", "y"], metadata=meta)
    job = await (await task.using(tags=["z", "x"], metadata={"more": True}).enqueue(1, 2)).wait(
        LIMIT
    )
    assert job.owner == "ann"
    assert list(job.tags) == ["x", "y", "z"]
    assert job.metadata == meta | {"more": True}


async def test_list_is_newest_first_and_in_pages(rig: Rig, kind: Kind, lane: str) -> None:
    task = calls.add.of(kind).using(queue=lane, run_after=600)
    ids = [(await task.enqueue(number, 0)).id for number in range(5)]
    found: list[UUID] = []
    cursor = None
    while True:
        page, cursor = await rig.jobs.list(JobFilter(queue=lane), limit=2, cursor=cursor)
        assert len(page) <= 2
        found += [job.id for job in page]
        if cursor is None:
            break
    assert found == list(reversed(ids))
    for job_id in ids:
        await (await rig.jobs.get(job_id)).cancel()


@pytest.mark.parametrize("by", ["task", "queue", "tag", "owner", "status", "time"])
async def test_list_by_what(rig: Rig, kind: Kind, lane: str, by: str) -> None:
    task = calls.add.of(kind).using(queue=lane, tags=[lane], owner=lane)
    mine = await rig.ended(task, 1, 2)
    filters = {
        "task": JobFilter(task=task.name, queue=lane),
        "queue": JobFilter(queue=lane),
        "tag": JobFilter(tag=lane),
        "owner": JobFilter(owner=lane),
        "status": JobFilter(statuses=[JobStatus.SUCCEEDED], queue=lane),
        "time": JobFilter(queue=lane, created_after=mine.created_at - timedelta(seconds=1)),
    }
    page, cursor = await rig.jobs.list(filters[by])
    assert [job.id for job in page] == [mine.id]
    assert cursor is None
    page, _ = await rig.jobs.list(JobFilter(statuses=[JobStatus.FAILED], queue=lane))
    assert page == []


async def test_a_foreign_cursor_is_refused(rig: Rig) -> None:
    with pytest.raises(InvalidCursor, match="'nonsense' is not one of ours"):
        await rig.jobs.list(cursor="nonsense")


async def test_the_worker_is_known(rig: Rig) -> None:
    async def known() -> bool:
        workers = await rig.jobs.runtime.store.read(queries.get_workers)
        return any(calls.add.sync.name in worker.tasks for worker in workers)

    await eventually(known, "a worker that names its tasks")
