"""The state machine: random steps on a store, each compared with the reference."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import delete

from fastapi_jobs.errors import DuplicateJob, IllegalMove, JobNotFound, QueueFull
from fastapi_jobs.status import FINAL, UNFINISHED, WAITING, AttemptOutcome, JobStatus
from fastapi_jobs.store.claim import ClaimJobs
from fastapi_jobs.store.finish import BeginAttempt, FinishAttempt, ReleaseJobs, WriteProgress
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.lanes import QueueLimits
from fastapi_jobs.store.moves import DeleteJobs, EditJob, Prune, RequestCancel, RetryJob
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.store.rescue import CrashRules, RescueOrphans, RescueWorker
from fastapi_jobs.store.rows import Finish, UniqueWish
from fastapi_jobs.store.tables import workers
from fastapi_jobs.store.unique import InsertUnique
from fastapi_jobs.store.workers import UnregisterWorker
from tests.store.driving import BACKEND, rules
from tests.store.reference import (
    QUEUE_LIMIT,
    TASK_LIMIT,
    check_world,
    expected_claim,
)
from tests.store.steps import Driven, Owner

S = JobStatus
CRASHES = CrashRules(max_crashes=2)
RULES = rules(
    task_limits=TASK_LIMIT,
    queues={name: QueueLimits(limit) for name, limit in QUEUE_LIMIT.items()},
)
ENDS = {
    S.SUCCEEDED: AttemptOutcome.SUCCEEDED,
    S.FAILED: AttemptOutcome.FAILED,
    S.SCHEDULED: AttemptOutcome.FAILED,
    S.QUEUED: AttemptOutcome.SNOOZED,
    S.CANCELLED: AttemptOutcome.CANCELLED,
}
which = st.integers(0, 1000)
queue_names, task_names = st.sampled_from(["a", "limited"]), st.sampled_from(["wide", "narrow"])
during = st.sampled_from(["unfinished", "queued", "window"])
conflicts = st.sampled_from(["existing", "reject", "replace"])
lost = st.booleans()  # the answer to the first commit is lost, the same operation comes again


def _jobs_there(machine: Any) -> bool:
    return bool(machine.world.jobs)


def _at_stake(machine: Any) -> bool:
    return bool(machine.world.running)


def _has_owners(machine: Any) -> bool:
    return bool(machine.owners)


class StoreMachine(Driven):
    """What may happen to a store, and what ought to come of it."""

    @initialize(during=during, room=st.integers(0, 6))
    def some_work(self, during: Any, room: int) -> None:
        """Histories start amid work, or most of them would end before it began."""
        self.insert_unique("k", during, "existing", False)
        for queue, task in (("a", "wide"), ("limited", "wide"), ("a", "narrow")):
            self.insert(None, None, 2, False, queue=queue, task=task, priority=0)
        self.claim(0, room, False, False)

    @precondition(_jobs_there)
    @rule(index=which, room=st.integers(1, 3), status=st.sampled_from(list(ENDS)), lost=lost)
    def work(self, index: int, room: int, status: JobStatus, lost: bool) -> None:
        """Claim and end: the usual life, so that it is half of every history."""
        before = len(self.owners)
        self.claim(index, room, False, lost)
        for back in range(len(self.owners) - before):
            self._finish(back, status, False, lost)

    @rule(
        queue=queue_names,
        task=task_names,
        priority=st.integers(-2, 2),
        delay=st.sampled_from([None, None, 5]),
        expires=st.sampled_from([None, None, 8]),
        count=st.integers(1, 3),
        lost=lost,
    )
    def insert(self, delay: Any, expires: Any, count: int, lost: bool, **options: Any) -> None:
        options["run_after"] = delay and self.now + timedelta(seconds=delay)
        options["expires_at"] = expires and self.now + timedelta(seconds=expires)
        new = [self._new(tags=("x",), **options) for _ in range(count)]
        for inserted in self._run(InsertJobs(new), lost):
            assert self._status(inserted.id) is inserted.status

    @rule(cap=st.integers(1, 4), lost=lost)
    def insert_capped(self, cap: int, lost: bool) -> None:
        waiting = [
            each
            for each in self.world.jobs.values()
            if each.queue == "limited" and each.status in (S.QUEUED, S.SCHEDULED)
        ]
        answer = self._run(InsertJobs([self._new(queue="limited", max_queued=cap)]), lost)
        assert isinstance(answer, QueueFull) == (len(waiting) >= cap)

    @rule(index=which, lost=lost)
    def insert_and_claim(self, index: int, lost: bool) -> None:
        worker = self._worker(index)
        ahead = any(
            each.queue == "a" and each.status == S.QUEUED and not each.suspect
            for each in self.world.jobs.values()
        )
        closed = "a" in self.world.paused or worker not in self.world.alive
        job = self._new(task="wide", queue="a")
        [inserted] = self._run(InsertJobs([job], worker, BACKEND), lost)
        assert (inserted.status is S.RUNNING) == (not ahead and not closed)
        if inserted.status is S.RUNNING:
            self._own(job.id, worker)

    @rule(key=st.sampled_from("kl"), during=during, on_conflict=conflicts, lost=lost)
    def insert_unique(self, key: str, during: Any, on_conflict: Any, lost: bool) -> None:
        until = self.now + timedelta(seconds=6) if during == "window" else None
        job = self._new(task="wide", queue="a", unique=UniqueWish(key, during, until, on_conflict))
        holder = next((j for j in self.world.jobs.values() if j.unique_slot == key), None)
        if holder is not None and holder.unique_until and holder.unique_until <= self.now:
            holder = None
        answer = self._run(InsertUnique([job]), lost)
        if holder is not None and on_conflict == "reject":
            assert isinstance(answer, DuplicateJob)
            assert answer.holder == holder.id
        elif holder is not None and on_conflict == "existing":
            assert (answer[0].id, answer[0].is_new) == (holder.id, False)
            assert job.id not in self.world.jobs
        else:
            assert (answer[0].id, answer[0].is_new) == (job.id, True)
            assert self.world.jobs[job.id].unique_slot == key

    @precondition(_jobs_there)
    @rule(index=which, room=st.integers(0, 4), idle=st.booleans(), lost=lost)
    def claim(self, index: int, room: int, idle: bool, lost: bool) -> None:
        worker = self._worker(index)
        expected = expected_claim(self.world, worker, room, self.now, idle=idle)
        self.now += timedelta(microseconds=1)
        operation = ClaimJobs(worker, RULES, {BACKEND: room}, self.now, idle)
        claimed = self._run(operation, lost)
        assert [each.id for each in claimed] == expected
        for each in claimed:
            row = self.world.jobs[each.id]
            assert (row.fence, row.attempt, row.worker_id) == (each.fence, each.attempt, worker)
            self.owners.append(Owner(each.id, each.attempt, each.fence))

    @precondition(_has_owners)
    @rule(index=which, lost=lost)
    def begin(self, index: int, lost: bool) -> None:
        claimed, owns = self._owner(index)
        asked = owns and self.world.jobs[claimed.id].cancel_requested_at is not None
        begun = self._run(BeginAttempt(claimed.id, claimed.fence), lost)
        assert begun == (owns and not asked)
        wrote = self._run(WriteProgress(claimed.id, claimed.fence, "{}"), lost)
        assert wrote == owns

    @precondition(_at_stake)
    @rule(status=st.sampled_from(list(ENDS)), lost=lost)
    def finish_newest(self, status: JobStatus, lost: bool) -> None:
        self._finish(0, status, False, lost)

    @precondition(_has_owners)
    @rule(index=which, status=st.sampled_from(list(ENDS)), crash=st.booleans(), lost=lost)
    def finish(self, index: int, status: JobStatus, crash: bool, lost: bool) -> None:
        self._finish(index, status, crash, lost)

    def _finish(self, index: int, status: JobStatus, crash: bool, lost: bool) -> None:
        claimed, owns = self._owner(index)
        wanted = status
        if owns and status in WAITING and self.world.jobs[claimed.id].cancel_requested_at:
            wanted = S.CANCELLED
        self.now += timedelta(microseconds=1)
        finish = Finish(
            claimed.id, claimed.attempt, claimed.fence, status, ENDS[status], self.now, "1"
        )
        finish.run_after = self.now + timedelta(seconds=3) if status is S.SCHEDULED else None
        finish.counts_as_failure, finish.counts_as_crash = not crash, crash
        answer = self._run(FinishAttempt(finish), lost)
        assert answer is (wanted if owns else None)
        assert not owns or self._status(claimed.id) is wanted

    @precondition(_has_owners)
    @rule(index=which, called=st.booleans(), lost=lost)
    def release(self, index: int, called: bool, lost: bool) -> None:
        claimed, owns = self._owner(index)
        asked = owns and self.world.jobs[claimed.id].cancel_requested_at is not None
        operation = ReleaseJobs([(claimed.id, claimed.fence)], self.now, called)
        assert self._run(operation, lost) == int(owns)
        if owns:
            assert self._status(claimed.id) is (S.CANCELLED if asked else S.QUEUED)
            assert self.world.jobs[claimed.id].attempt == claimed.attempt - (not called)
            assert self.world.jobs[claimed.id].fence > claimed.fence

    @precondition(_at_stake)
    @rule(index=which, stale=st.booleans(), lost=lost)
    def rescue(self, index: int, stale: bool, lost: bool) -> None:
        worker = self._worker(index)
        alive = worker in self.world.alive
        if stale:
            self.pulse.beat(worker, self.now, 0)
        owned = [job for job in self.world.running if job.worker_id == worker]
        beats = {each.id: each.beat for each in self.pulse.others(UUID(int=0))}
        beat = beats.get(worker, 0) - int(stale)
        answer = self._run(RescueWorker(worker, beat, self.now, CRASHES), lost)
        if stale or not alive:
            assert answer is None
            return
        assert {each.id for each in answer} == {job.id for job in owned}
        for job in owned:
            self._check_rescued(job, alone=len(owned) == 1)
        self._register(UUID(int=len(self.workers) + 1))
        self.world = self._look()

    def _check_rescued(self, old: Any, *, alone: bool) -> None:
        new = self.world.jobs[old.id]
        assert new.fence > old.fence
        assert new.crashes == old.crashes + int(alone)
        if old.cancel_requested_at is not None:
            assert new.status == S.CANCELLED
        elif alone and new.crashes >= CRASHES.max_crashes:
            assert new.status == S.FAILED
        else:
            assert (new.status, new.suspect) == (S.QUEUED, 1)

    @precondition(_at_stake)
    @rule(index=which, lost=lost)
    def unregister(self, index: int, lost: bool) -> None:
        worker = self._worker(index)
        owns = any(job.worker_id == worker for job in self.world.running)
        assert self._run(UnregisterWorker(worker), lost) is not owns
        if not owns:
            self._register(UUID(int=len(self.workers) + 1))
            self.world = self._look()

    @precondition(_at_stake)
    @rule(index=which, lost=lost, gone=st.booleans())
    def rescue_orphans(self, index: int, lost: bool, gone: bool) -> None:
        if gone:  # the row goes while its worker owns jobs, as after a person's clean-up
            worker = self._worker(index)
            with self.store.database.writing.connect() as connection, connection.begin():
                connection.execute(delete(workers).where(workers.c.id == worker))
            self._register(UUID(int=len(self.workers) + 1))
            self.world = self._look()
        orphans = {job.id for job in self.world.running if job.worker_id not in self.world.alive}
        answer = self._run(RescueOrphans(self.now, CRASHES), lost)
        assert {each.id for each in answer} == orphans

    @precondition(_jobs_there)
    @rule(index=which, lost=lost)
    def cancel(self, index: int, lost: bool) -> None:
        job_id = self._job(index)
        before = self._status(job_id)
        answer = self._run(RequestCancel(job_id, self.now), lost)
        if before is S.RUNNING:
            assert answer is S.RUNNING
        elif before is None or before in (S.SUCCEEDED, S.FAILED):
            assert isinstance(answer, JobNotFound if before is None else IllegalMove)
        else:
            assert answer is S.CANCELLED
            assert self._status(job_id) is S.CANCELLED

    @precondition(_jobs_there)
    @rule(index=which, lost=lost)
    def retry(self, index: int, lost: bool) -> None:
        job_id = self._job(index)
        before = self._status(job_id)
        answer = self._run(RetryJob(job_id, self.now), lost, retried=[job_id])
        if before is None or before in UNFINISHED:
            assert isinstance(answer, JobNotFound if before is None else IllegalMove)
        elif not isinstance(answer, IllegalMove):
            assert answer is self._status(job_id) is S.QUEUED
        else:
            key = self.world.jobs[job_id].unique_key
            assert key in {job.unique_slot for job in self.world.jobs.values()}

    @precondition(_jobs_there)
    @rule(index=which, delay=st.sampled_from([None, -1, 4]), queue=queue_names, lost=lost)
    def edit(self, index: int, delay: Any, queue: str, lost: bool) -> None:
        job_id = self._job(index)
        before = self._status(job_id)
        changes: dict[str, Any] = {"queue": queue, "priority": 1, "tags": ["y"]}
        if delay is not None:
            changes["run_after"] = self.now + timedelta(seconds=delay)
        answer = self._run(EditJob(job_id, self.now, changes), lost)
        assert isinstance(answer, JobStatus) == (before in WAITING)

    @precondition(_jobs_there)
    @rule(index=which, lost=lost, prune=st.booleans())
    def delete(self, index: int, lost: bool, prune: bool) -> None:
        job_id = self._job(index)
        before = self._status(job_id)
        if prune and before in FINAL:
            operation: Any = Prune(before, self.now + timedelta(days=3650), limit=2)
            assert self._run(operation, deleted=self.known) in (1, 2)
        elif not prune:
            answer = self._run(DeleteJobs([job_id], must=True), lost, deleted=[job_id])
            assert (answer == 1) == (before in FINAL)

    @rule(queue=queue_names, paused=st.booleans(), lost=lost)
    def pause(self, queue: str, paused: bool, lost: bool) -> None:
        self._run(PauseQueue(queue, self.now) if paused else ResumeQueue(queue), lost)
        assert (queue in self.world.paused) == paused

    @rule(seconds=st.sampled_from([1, 3, 10]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def always(self) -> None:
        check_world(self.world)
