"""What the store ought to do, over plain rows: the model that the state machine compares with."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from fastapi_jobs.status import FINAL, MOVES, WAITING, JobStatus
from fastapi_jobs.store.tables import attempts, jobs, queues, workers

QUEUE_LIMIT = {"limited": 2}
TASK_LIMIT = {"narrow": 1}

S = JobStatus


@dataclass(frozen=True)
class World:
    """Every row at one moment."""

    jobs: Mapping[UUID, Any]
    attempts: Mapping[UUID, list[Any]]
    paused: frozenset[str]
    alive: frozenset[UUID]

    @property
    def running(self) -> list[Any]:
        """The jobs that run."""
        return [job for job in self.jobs.values() if job.status == S.RUNNING]


def look(connection: Connection) -> World:
    """Read the world."""
    runs: dict[UUID, list[Any]] = {}
    for row in connection.execute(select(attempts).order_by(attempts.c.number)):
        runs.setdefault(row.job_id, []).append(row)
    return World(
        {row.id: row for row in connection.execute(select(jobs))},
        runs,
        frozenset(row.name for row in connection.execute(select(queues)) if row.paused),
        frozenset(connection.execute(select(workers.c.id)).scalars()),
    )


def expected_claim(
    world: World, worker: UUID, room: int, now: datetime, *, idle: bool
) -> list[UUID]:
    """The ids that a claim ought to return, in their order."""
    if worker not in world.alive:
        return []
    due = [job for job in world.jobs.values() if _may_start(job, now)]
    tasks = Counter(job.task for job in world.running)
    lanes = Counter(job.queue for job in world.running)

    def fits(job: Any) -> bool:
        return (
            job.queue not in world.paused
            and lanes[job.queue] < QUEUE_LIMIT.get(job.queue, 1000)
            and tasks[job.task] < TASK_LIMIT.get(job.task, 1000)
        )

    suspects = sorted(job.id for job in due if job.suspect and fits(job))
    if idle and suspects and room:
        return suspects[:1]
    chosen: list[UUID] = []
    for job in sorted(due, key=lambda job: (-job.priority, job.id)):
        if len(chosen) < room and not job.suspect and fits(job):
            lanes[job.queue] += 1
            tasks[job.task] += 1
            chosen.append(job.id)
    return chosen


def _may_start(job: Any, now: datetime) -> bool:
    if job.expires_at is not None and job.expires_at <= now and job.attempt == 0:
        return False
    due = job.status == S.SCHEDULED and job.run_after <= now
    return bool(due or job.status == S.QUEUED)


def check_change(
    before: World, after: World, *, retried: Iterable[UUID] = (), deleted: Iterable[UUID] = ()
) -> None:
    """Nothing lost, only legal moves, fences only grow, an attempt ends once."""
    lost = set(before.jobs) - set(after.jobs)
    assert lost <= set(deleted), f"lost: {lost}"
    for job_id in lost:
        assert S(before.jobs[job_id].status) in FINAL, "deleted while alive"
        assert job_id not in after.attempts, "attempts of a deleted job"
    for job_id in set(before.jobs) - lost:
        old, new = before.jobs[job_id], after.jobs[job_id]
        assert new.fence >= old.fence, "a fence went back"
        if old.status != new.status:
            _check_move(S(old.status), S(new.status))
            assert S(old.status) not in FINAL or job_id in retried, "a final job moved"
        if new.status == S.RUNNING and old.status != S.RUNNING:
            assert new.fence > old.fence, "claimed without a new fence"
        ended = {run.fence: run for run in before.attempts.get(job_id, ()) if run.outcome}
        now = {run.fence: run for run in after.attempts.get(job_id, ())}
        for fence, run in ended.items():
            assert now.get(fence) == run, f"a finished attempt changed: {run} {now.get(fence)}"


def _check_move(old: JobStatus, new: JobStatus) -> None:
    # A claim makes due and takes in one transaction.
    through = old is S.SCHEDULED and new is S.RUNNING
    assert new in MOVES[old] or through, f"{old} became {new}"


def check_world(world: World) -> None:
    """What holds at every moment."""
    queues_running = Counter(job.queue for job in world.running)
    tasks_running = Counter(job.task for job in world.running)
    assert all(queues_running[name] <= limit for name, limit in QUEUE_LIMIT.items())
    assert all(tasks_running[name] <= limit for name, limit in TASK_LIMIT.items())
    slots = [job.unique_slot for job in world.jobs.values() if job.unique_slot is not None]
    assert len(slots) == len(set(slots)), "a key with two holders"
    for job in world.jobs.values():
        _check_job(job, world.attempts.get(job.id, []))


def _check_job(job: Any, runs: list[Any]) -> None:
    status = S(job.status)
    assert [run.number for run in runs] == list(range(1, job.attempt + 1)), (job, runs)
    fences = [run.fence for run in runs]
    assert fences == sorted(set(fences)), "fences of attempts do not grow"
    open_runs = [run for run in runs if run.outcome is None]
    if status is S.RUNNING:
        [run] = open_runs
        assert (run.number, run.fence, run.worker_id) == (job.attempt, job.fence, job.worker_id)
        assert job.finished_at is None
    else:
        assert not open_runs, f"{status} with an open attempt"
    assert all(run.finished_at is not None for run in runs if run.outcome is not None)
    assert (job.finished_at is not None) == (status in FINAL), (status, job.finished_at)
    if job.unique_slot is not None:
        assert job.unique_slot == job.unique_key
        held = {"unfinished": status not in FINAL, "queued": status in WAITING, "window": True}
        assert held[job.unique_during], f"{status} holds its key during {job.unique_during}"
