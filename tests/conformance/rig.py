"""What a behaviour is tried on: one started FastAPIJobs, what its backend can, and looks inside."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi_jobs import FastAPIJobs, Job, JobFilter, JobStatus
from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.process import ProcessBackend
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord
from fastapi_jobs.signals import Event
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.both import AnyTask
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate, eventually, note

TEXT_CAP = 200_000
LOG_CAP = 20
CRASH_CAP = 2

ONE_LANE = "conformance-one"
TWO_LANES = "conformance-two"
"""Queues that run one job and two jobs at a time."""

AWAY = "conformance-away"
"""A queue that is paused here: its jobs wait for another host, or for nobody."""

UNBEARABLE = "tests.conformance.tasks.calls.nothing"

EVENTS: list[Event] = []
"""What the observer of every app was told."""


EVENTS_FILE = "CONFORMANCE_EVENTS"
"""The variable that names the file in which workers of other processes note what they hear."""


def remember(event: Event) -> None:
    """An observer that keeps what it hears."""
    EVENTS.append(event)
    if file := os.environ.get(EVENTS_FILE):
        note(file, f"{event.job_id} {event.attempt} {event.kind}")


def heard_of(job_id: UUID) -> list[str]:
    """The kinds of a job's events, in their order."""
    file = os.environ.get(EVENTS_FILE)
    if not file:
        return [event.kind.value for event in EVENTS if event.job_id == job_id]
    lines = [line.split() for line in Path(file).read_text().splitlines()]
    heard = [(int(attempt), kind) for of, attempt, kind in lines if of == str(job_id)]
    # Processes tell side by side; what one attempt tells comes from one of them, in its order.
    return [kind for _, kind in sorted(heard, key=lambda each: each[0])]


def broken(event: Event) -> None:
    """An observer that fails on one task."""
    if event.task.startswith(UNBEARABLE):
        raise RuntimeError(f"cannot bear {event.kind}")


@dataclass(frozen=True)
class Abilities:
    """What a backend says of itself; each behaviour is held against it."""

    stops_async: bool
    stops_sync: bool
    shares_process: bool
    runs_at_enqueue: bool
    is_remote: bool
    """Its jobs run in workers that are other processes."""
    kills: bool
    """What it stops is killed, an `async def` task too."""

    @classmethod
    def of(
        cls,
        backend: type[Backend],
        *,
        shares_process: bool | None = None,
        runs_at_enqueue: bool = False,
        is_remote: bool = False,
    ) -> "Abilities":
        """Read from the backend's class."""
        return cls(
            stops_async=backend.stops_async,
            stops_sync=backend.stops_sync,
            shares_process=backend.shares_process if shares_process is None else shares_process,
            runs_at_enqueue=runs_at_enqueue,
            is_remote=is_remote,
            kills=backend is ProcessBackend,
        )

    def stops(self, task: AnyTask) -> bool:
        """Whether a running job of this task can be stopped."""
        return self.stops_async if task.definition.is_async else self.stops_sync


@dataclass
class Rig:
    """One backend on one database, at work."""

    jobs: FastAPIJobs
    backend: str
    can: Abilities
    settings: dict[str, Any]
    pid: int
    """The process whose end would end the tests of this rig; no job may kill it."""

    def another(self, **overrides: Any) -> FastAPIJobs:
        """Another FastAPIJobs on the same database, not started."""
        return FastAPIJobs(**(self.settings | overrides))

    async def ended(self, task: AnyTask, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueue, and wait until it has finished."""
        job = await task.enqueue(*args, **kwargs)
        return await job.wait(LIMIT)

    async def result(self, task: AnyTask, *args: Any, **kwargs: Any) -> Any:
        """Enqueue, and wait for what it returns."""
        job = await task.enqueue(*args, **kwargs)
        return await job.result(LIMIT)

    def aside(self, task: AnyTask) -> AnyTask:
        """The task, enqueued so that `enqueue` returns before the job has run."""
        return task.using(run_after=0.001) if self.can.runs_at_enqueue else task

    async def at_gate(self, task: AnyTask, gate: Gate, *args: Any, **kwargs: Any) -> Job[Any]:
        """Enqueue a job and wait until it runs."""
        before = len(gate.pids)
        job = await self.aside(task).enqueue(str(gate), *args, **kwargs)
        await gate.reached(before + 1)
        return await job.refresh()

    async def attempts(self, job: Job[Any]) -> list[AttemptRecord]:
        """The job's attempts, oldest first."""
        return await self.jobs.runtime.store.read(queries.get_attempts, job.id)

    async def outcomes(self, job: Job[Any]) -> list[AttemptOutcome | None]:
        """How each of its attempts ended."""
        ends = [each.outcome for each in await self.attempts(job)]
        return [None if each is None else AttemptOutcome(each) for each in ends]

    async def logs(self, job: Job[Any]) -> list[LogRecord]:
        """The job's log lines."""
        return await self.jobs.runtime.store.read(queries.get_logs, job.id)

    async def record(self, job: Job[Any]) -> JobRecord:
        """The job's row."""
        record = await self.jobs.runtime.store.read(queries.get_job, job.id)
        assert record is not None
        return record

    async def until(self, job: Job[Any], *statuses: JobStatus) -> Job[Any]:
        """Wait for one of these statuses."""

        async def there() -> bool:
            return (await job.refresh()).status in statuses

        await eventually(there, f"{job!r} becomes {statuses}")
        return await job.refresh()

    async def count(self, task: AnyTask) -> int:
        """How many jobs of a task there are, 200 at the most."""
        page, _ = await self.jobs.list(JobFilter(task=task.name), limit=200)
        return len(page)

    async def events(self, job_id: UUID, wanted: Sequence[str]) -> None:
        """Wait until the observer has heard these kinds of a job, in this order."""

        with suppress(AssertionError):
            await eventually(lambda: heard_of(job_id) == list(wanted), "events")
        assert heard_of(job_id) == list(wanted)
