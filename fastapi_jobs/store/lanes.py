"""Lanes of waiting jobs, and which of them are open: not paused, not past a limit.

A lane is one (queue, task, backend) that has waiting jobs. One that is paused, full, or of a task
this worker does not know is passed over as a whole: its rows are not read, however many they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from fastapi_jobs.models import QueueRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.prepared import PreparedQuery
from fastapi_jobs.store.tables import (
    QUEUED,
    SUSPECTED,
    has_status,
    jobs,
    queues,
    running,
)
from fastapi_jobs.store.transaction import Transaction


class Lane(NamedTuple):
    """Waiting jobs that differ only in priority and age."""

    queue: str
    task: str
    backend: str


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What the settings say of a queue; its row may say otherwise."""

    max_running: int | None = None
    priority: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What a worker knows and may do; the same for all its claims."""

    resolve: Callable[[Lane], str | None]
    """The backend that runs a lane here; None when this worker cannot run it."""
    task_limit: Callable[[str], int | None]
    queue_limits: Callable[[str], QueueLimits]


RESTRICTED = and_(
    queues.c.name == bindparam("queue"),
    (queues.c.paused.is_(True)) | (queues.c.max_running > literal_column("0")),
)
"""A person paused or limited the queue `:queue`."""


def waiting_lanes(tx: Transaction | Connection) -> list[Lane]:
    """The lanes that have waiting jobs, each found by a few steps along the index."""
    connection = tx.connection if isinstance(tx, Transaction) else tx
    if connection.dialect.name == "postgresql":
        return [Lane(*row) for row in connection.execute(_ALL_LANES)]
    return _walk_lanes(tx)


def _walk_lanes(tx: Transaction | Connection) -> list[Lane]:
    # One comparison of the whole key would be shorter, but SQLite then reads every row of a queue.
    found: list[Lane] = []
    row = tx.execute(_FIRST_LANE).first()
    while row is not None:
        found.append(Lane(row.queue, row.task, row.backend))
        key = found[-1]._asdict()
        for step in _NEXT_LANE:
            row = tx.execute(step, key).first()
            if row is not None:
                break
    return found


def suspect_waits(connection: Connection, rules: ClaimRules) -> bool:
    """Whether a suspect waits that this worker would run alone, were it idle.

    One in a paused queue, or of a task that is not known here, is not worth making way for.
    """
    rows = {row.name: _QueueRow(*row) for row in connection.execute(select(*_QUEUE_COLUMNS))}
    suspected = select(*_LANE).where(has_status(JobStatus.QUEUED), SUSPECTED).distinct()
    lanes = [Lane(*row) for row in connection.execute(suspected)]
    return any(
        rules.resolve(lane) is not None
        and not in_force(rules.queue_limits(lane.queue), rows.get(lane.queue)).paused
        for lane in lanes
    )


class _QueueRow(NamedTuple):
    """What a person changed about a queue; None leaves the settings in force."""

    name: str
    max_running: int | None
    priority: int | None
    paused: bool | None


_QUEUE_COLUMNS = [queues.c[name] for name in _QueueRow._fields]


@cache
def _queue_rows() -> PreparedQuery:
    return PreparedQuery((), select(*_QUEUE_COLUMNS))


def in_force(declared: QueueLimits, row: _QueueRow | QueueRecord | None) -> QueueLimits:
    """A queue's limits: what a person changed wins over the settings."""
    if row is None:
        return declared
    return QueueLimits(
        max_running=declared.max_running if row.max_running is None else row.max_running or None,
        priority=declared.priority if row.priority is None else row.priority,
        paused=declared.paused if row.paused is None else bool(row.paused),
    )


_LANE = (jobs.c.queue, jobs.c.task, jobs.c.backend)
_FIRST_LANE = select(*_LANE).where(QUEUED).order_by(*_LANE).limit(1)
_SAME_QUEUE = jobs.c.queue == bindparam("queue")
_NEXT_LANE = (
    _FIRST_LANE.where(
        _SAME_QUEUE, jobs.c.task == bindparam("task"), jobs.c.backend > bindparam("backend")
    ),
    _FIRST_LANE.where(_SAME_QUEUE, jobs.c.task > bindparam("task")),
    _FIRST_LANE.where(jobs.c.queue > bindparam("queue")),
)


def _lanes_at_once() -> Select[Any]:
    """The same walk in one statement."""
    lanes = _FIRST_LANE.cte("lanes", recursive=True)
    step = _FIRST_LANE.where(tuple_(*_LANE) > tuple_(*lanes.c)).lateral("step")
    return select(lanes.union_all(select(*step.c).select_from(lanes).join(step, true())))


_ALL_LANES = _lanes_at_once()


def heads_of_lane(columns: Select[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """The first `:count` waiting jobs of the lane `:queue, :task, :backend`, locked.

    The lock is the fence against taking more than a limit: the rows are fixed here, before the
    update that names them by id.
    """
    in_lane = [jobs.c[name] == bindparam(name) for name in Lane._fields]
    first = columns.where(QUEUED, *conditions, *in_lane).order_by(jobs.c.priority.desc(), jobs.c.id)
    return first.limit(bindparam("count")).with_for_update(skip_locked=True)


_HEADS = heads_of_lane(select(jobs.c.id, jobs.c.priority))


@dataclass(slots=True)
class Limits:
    """Which lanes are open in this transaction, and for how many."""

    tx: Transaction
    rules: ClaimRules
    _rows: dict[str, _QueueRow] = field(default_factory=dict)
    _queue_room: dict[str, int] = field(default_factory=dict)
    _task_room: dict[str, int] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    """Backends that `choose` would have given more, but for a limit."""

    def __post_init__(self) -> None:
        self._rows = {row[0]: _QueueRow(*row) for row in self.tx.fetch(_queue_rows())}

    def choose(self, room: Mapping[str, int]) -> list[tuple[UUID, str]]:
        """The ids to claim and their backends: largest queue priority, job priority, then age."""
        left = {backend: count for backend, count in room.items() if count > 0}
        candidates = []
        # Locks are taken in the order of names, the same in every process.
        for lane in waiting_lanes(self.tx):
            backend = self.rules.resolve(lane)
            if backend is None:
                continue
            if backend not in left:
                self.full.add(backend)
                continue
            open_for = self.room(lane)
            count = min(left[backend], open_for)
            if open_for < left[backend] and not self._limits(lane.queue).paused:
                self.full.add(backend)
            if count > 0:
                rank = -self._limits(lane.queue).priority
                for row in self.tx.execute(_HEADS, lane._asdict() | {"count": count}):
                    candidates.append((rank, -row.priority, row.id, lane, backend))
        candidates.sort(key=lambda each: each[:3])
        chosen = []
        for _, _, job_id, lane, backend in candidates:
            if left[backend] and self.room(lane):
                left[backend] -= 1
                self.spend(lane)
                chosen.append((job_id, backend))
        return chosen

    def _limits(self, queue: str) -> QueueLimits:
        return in_force(self.rules.queue_limits(queue), self._rows.get(queue))

    def room(self, lane: Lane) -> int:
        """How many more of this lane may run, over all processes."""
        limits = self._limits(lane.queue)
        if limits.paused:
            return 0
        room = _ENDLESS
        if limits.max_running is not None:
            room = self._room_of_queue(lane.queue, limits.max_running)
        task_limit = self.rules.task_limit(lane.task)
        if task_limit is not None and room > 0:
            room = min(room, self._room_of_task(lane.task, task_limit))
        return room

    def spend(self, lane: Lane) -> None:
        """One more of this lane runs."""
        for rooms, name in ((self._queue_room, lane.queue), (self._task_room, lane.task)):
            if name in rooms:
                rooms[name] -= 1

    def _room_of_queue(self, queue: str, limit: int) -> int:
        if queue not in self._queue_room:
            lock_queue(self.tx, queue)
            of_queue = running(jobs.c.queue, jobs.c.queue == queue)
            statement = select(func.count()).select_from(of_queue)
            self._queue_room[queue] = limit - int(self.tx.execute(statement).scalar_one())
        return self._queue_room[queue]

    def _room_of_task(self, task: str, limit: int) -> int:
        if task not in self._task_room:
            if not self.tx.sqlite:
                self.tx.execute(_LOCK_TASK, {"task": task})
            of_task = running(jobs.c.task, jobs.c.task == task)
            statement = select(func.count()).select_from(of_task)
            self._task_room[task] = limit - int(self.tx.execute(statement).scalar_one())
        return self._task_room[task]


_ENDLESS = 1_000_000_000
_LOCK_TASK = text("SELECT pg_advisory_xact_lock(hashtextextended('fastapi_jobs ' || :task, 0))")


def lock_queue(tx: Transaction, queue: str) -> None:
    """Make the queue's row if need be, and hold it until the commit."""
    if tx.sqlite:
        return  # BEGIN IMMEDIATE holds the whole database
    tx.execute(postgresql.insert(queues).values(name=queue).on_conflict_do_nothing())
    tx.execute(select(queues.c.name).where(queues.c.name == queue).with_for_update())


def known_queue(tx: Transaction, queue: str) -> None:
    """Make the queue's row if there is none."""
    insert = sqlite.insert if tx.sqlite else postgresql.insert
    tx.execute(insert(queues).values(name=queue).on_conflict_do_nothing())
