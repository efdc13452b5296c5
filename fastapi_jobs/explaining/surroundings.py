"""The rules that apply around one job: live workers, backends, limits, and who is served first."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fastapi_jobs.backends.broker import BrokerUnavailable
from fastapi_jobs.backends.celery_queues import carrier
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.checks.running import is_stale
from fastapi_jobs.claiming import declared_limits, effective_backend
from fastapi_jobs.conf import Settings
from fastapi_jobs.models import QueueRecord, WorkerRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.explain import Rivals, Running, Standing
from fastapi_jobs.store.lanes import Lane, QueueLimits, in_force


@dataclass(frozen=True, slots=True)
class Able:
    """A live worker as far as it matters here."""

    record: WorkerRecord
    tasks: frozenset[str]
    queues: frozenset[str]
    """Empty: all of them."""
    backends: frozenset[str]
    slots: dict[str, int]

    @property
    def name(self) -> str:
        """Host and process id."""
        return f"{self.record.host}:{self.record.pid}"

    def runs(self, lane: Lane, backend: str, carrier: str) -> bool:
        """Whether it would claim jobs of this lane, which come with those of queue `carrier`."""
        return self.serves(carrier) and lane.task in self.tasks and backend in self.backends

    def serves(self, queue: str) -> bool:
        """Whether it takes jobs of this queue."""
        return not self.queues or queue in self.queues


def able(record: WorkerRecord) -> Able:
    """A worker's row, read."""
    return Able(
        record,
        frozenset(json.loads(record.tasks)),
        frozenset(json.loads(record.queues)),
        frozenset(json.loads(record.backends)),
        json.loads(record.slots),
    )


@dataclass(slots=True)
class Surroundings:
    """One `Standing` with the settings and tasks of this process, at one moment."""

    settings: Settings
    standing: Standing
    now: datetime
    live: Sequence[Able] = field(init=False)
    stale: Sequence[WorkerRecord] = field(init=False)
    rows: dict[str, QueueRecord] = field(init=False)
    lane: Lane = field(init=False)
    backend: str = field(init=False)
    carrier: str = field(init=False)
    """The queue that a worker must serve to get this job."""
    broker_away: BrokerUnavailable | None = None
    """What its broker said instead of an answer, where somebody asked."""
    _in_queue: Counter[str] = field(init=False)
    _in_task: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        standing, job = self.standing, self.standing.job
        late = {
            each.id
            for each in standing.workers
            if is_stale(each, self.now, self.settings.lease_seconds)
        }
        self.live = [able(each) for each in standing.workers if each.id not in late]
        self.stale = [each for each in standing.workers if each.id in late]
        self.rows = {row.name: row for row in standing.queues}
        self.lane = Lane(job.queue, job.task, job.backend)
        self.backend = self.resolve(self.lane)
        self.carrier = carrier(self.settings, job.queue, self.backend)
        self._in_queue = Counter(each.lane.queue for each in standing.running)
        self._in_task = Counter(each.lane.task for each in standing.running)

    @property
    def comes_by_broker(self) -> bool:
        """Whether it waits for a broker to tell a worker of it."""
        is_queued = self.standing.job.status == JobStatus.QUEUED
        return is_queued and self.backend == CELERY and bool(self.settings.celery.broker_url)

    def resolve(self, lane: Lane) -> str:
        """The backend that runs a lane, as far as this process knows its task."""
        definition = registry.get(lane.task)
        if definition is not None:
            return effective_backend(self.settings, definition, lane.queue, lane.backend)
        return lane.backend or self.settings.queue(lane.queue).backend or self.settings.backend

    def runs(self, worker: Able, lane: Lane) -> bool:
        """Whether a worker would claim jobs of this lane."""
        return not worker.record.quiet and self.could_run(worker, lane)

    def could_run(self, worker: Able, lane: Lane) -> bool:
        """The same of a worker that nobody quieted."""
        backend = self.resolve(lane)
        return worker.runs(lane, backend, carrier(self.settings, lane.queue, backend))

    def limits(self, queue: str) -> QueueLimits:
        """A queue's limits; what a person changed wins over the settings."""
        return in_force(declared_limits(self.settings, queue), self.rows.get(queue))

    def task_limit(self, task: str) -> int | None:
        """How many jobs of a task run at a time."""
        definition = registry.get(task)
        return None if definition is None else definition.options.max_running

    def queue_is_full(self, queue: str) -> bool:
        """Whether as many of its jobs run as may."""
        limit = self.limits(queue).max_running
        return limit is not None and self._in_queue[queue] >= limit

    def task_is_full(self, task: str) -> bool:
        """The same for a task."""
        limit = self.task_limit(task)
        return limit is not None and self._in_task[task] >= limit

    def is_open(self, lane: Lane) -> bool:
        """Whether a job of this lane may start now, if a slot is free."""
        closed = self.limits(lane.queue).paused
        return not (closed or self.queue_is_full(lane.queue) or self.task_is_full(lane.task))

    def servers(self) -> list[Able]:
        """The live workers that would claim this job."""
        return [each for each in self.live if self.runs(each, self.lane)]

    def used(self, worker: UUID) -> list[Running]:
        """What a worker runs on the backend of this job."""
        return [
            each
            for each in self.standing.running
            if each.worker_id == worker and self.resolve(each.lane) == self.backend
        ]

    def busy(self, worker: UUID) -> list[Running]:
        """What a worker runs, on whatever backend."""
        return [each for each in self.standing.running if each.worker_id == worker]

    def makes_way_for(self, worker: Able, suspects: Iterable[Lane]) -> set[Lane]:
        """The lanes of suspects that this worker would run, were it idle."""
        return {
            lane
            for lane in suspects
            if not self.limits(lane.queue).paused and self.runs(worker, lane)
        }

    def rivals(self) -> Rivals:
        """The lanes that compete with this job for slots and may be served before it."""
        servers = self.servers()
        rank = self.limits(self.lane.queue).priority
        rivals = [
            lane
            for lane in self.standing.lanes
            if self.resolve(lane) == self.backend
            and (lane == self.lane or self.is_open(lane))
            and any(self.runs(each, lane) for each in servers)
        ]
        ranks = {lane: self.limits(lane.queue).priority for lane in rivals}
        return Rivals(
            first=[lane for lane in rivals if ranks[lane] > rank],
            equal=[lane for lane in rivals if ranks[lane] == rank],
        )
