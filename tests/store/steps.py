"""How the state machine takes a step on a store and compares the worlds before and after."""

from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from fastapi_jobs.errors import DuplicateJob, IllegalMove, JobNotFound, QueueFull
from fastapi_jobs.models import Base
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.finish import ReleaseJobs
from fastapi_jobs.store.moves import Prune
from fastapi_jobs.store.rescue import RescueOrphans, RescueWorker
from fastapi_jobs.store.rows import NewJob
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Operation
from fastapi_jobs.store.workers import Pulse, RegisterWorker
from tests.store.driving import NOW, new_job, worker_record
from tests.store.reference import (
    World,
    check_change,
    look,
)

S = JobStatus


class Owner(NamedTuple):
    """What a worker remembers of a job it claimed."""

    id: UUID
    attempt: int
    fence: int


class Driven(RuleBasedStateMachine):
    """Three workers, a fake clock, one store, and how a step is taken and compared."""

    store: ClassVar[Store]

    def __init__(self) -> None:
        super().__init__()
        with self.store.database.writing.connect() as connection, connection.begin():
            for table in Base.metadata.sorted_tables:
                connection.execute(table.delete())
        self.now = NOW
        self.known: list[UUID] = []
        self.owners: list[Owner] = []
        """Everybody who ever claimed a job: stale owners come back."""
        self.pulse = Pulse(self.store.database)
        self.workers: list[UUID] = []
        for number in range(3):
            self._register(UUID(int=number + 1))
        self.world = self._look()

    def teardown(self) -> None:
        self.pulse.close()

    def _look(self) -> World:
        return self.store.read_sync(look)

    def _register(self, worker: UUID) -> None:
        self.store.write_sync(RegisterWorker(worker_record(worker)))
        self.workers.append(worker)

    def _run(self, operation: Operation[Any], lost: bool = False, **allowed: Any) -> Any:
        """Apply, compare the world with the one before; answers the value or the refusal."""
        answer = self._answer(operation)
        if lost and not isinstance(answer, Exception):
            after = self._look()
            again = self._answer(operation)
            if not isinstance(operation, ReleaseJobs | RescueWorker | RescueOrphans | Prune):
                assert again == answer, "the second try says something else"
            assert self._look().jobs == after.jobs, "the second try changed something"
        before, self.world = self.world, self._look()
        check_change(before, self.world, **allowed)
        return answer

    def _answer(self, operation: Operation[Any]) -> Any:
        try:
            return self.store.write_sync(operation)
        except (IllegalMove, JobNotFound, DuplicateJob, QueueFull) as refusal:
            return refusal

    def _job(self, index: int) -> UUID:
        """Most often one that is there."""
        there = sorted(self.world.jobs) or self.known
        pool = self.known if index % 10 == 9 else there
        return pool[index % len(pool)] if pool else UUID(int=0)

    def _worker(self, index: int) -> UUID:
        """Most often one that lives."""
        pool = self.workers if index % 10 == 9 else sorted(self.world.alive)
        return pool[index % len(pool)] if pool else UUID(int=0)

    def _status(self, job_id: UUID) -> JobStatus | None:
        job = self.world.jobs.get(job_id)
        return None if job is None else S(job.status)

    def _new(self, **options: Any) -> NewJob:
        job = new_job(at=self.now, **options)
        self.known.append(job.id)
        return job

    def _own(self, job_id: UUID, worker: UUID) -> None:
        row = self.world.jobs[job_id]
        assert (row.status, row.worker_id) == (S.RUNNING, worker)
        self.owners.append(Owner(job_id, row.attempt, row.fence))

    def _owner(self, index: int) -> tuple[Owner, bool]:
        """Somebody who once claimed a job, and whether the model says he owns it still."""
        claimed = self.owners[-1 - index % min(len(self.owners), 12)]
        row = self.world.jobs.get(claimed.id)
        owns = row is not None and (row.status, row.fence) == (S.RUNNING, claimed.fence)
        return claimed, owns
