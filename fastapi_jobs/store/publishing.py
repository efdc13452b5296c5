"""What goes to a broker: due jobs, by id, as many as its window has room for (law 8).

The row says when its id was handed over. Whoever claims the job forgets that again, so the jobs
that are queued and published are those the broker holds, or has lost.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, text, update

from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.lanes import ClaimRules, Lane, Limits, heads_of_lane, waiting_lanes
from fastapi_jobs.store.staging import keep_time
from fastapi_jobs.store.tables import (
    SUSPECTED,
    UNCLAIMED,
    UNPUBLISHED,
    has_status,
    jobs,
)
from fastapi_jobs.store.transaction import Operation, Transaction


@dataclass(frozen=True, slots=True)
class Message:
    """What a broker is told of a job; the row holds the rest."""

    id: UUID
    task: str
    queue: str
    priority: int
    suspect: bool = False
    """It has to run alone in its process (law 6)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How much a broker may hold."""

    size: int
    """Unclaimed jobs of one queue."""
    knows: Callable[[str], bool] = lambda task: True
    """Whether a live worker knows a task; others would only throw it away."""


@dataclass(slots=True)
class PublishJobs(Operation[list[Message]]):
    """Mark what the windows have room for as published; the caller hands it to the broker."""

    rules: ClaimRules
    windows: Windows
    now: datetime
    next_due: datetime | None = None
    """Set by `apply`: when the next scheduled or expiring job wants attention."""
    left: bool = False
    """Set by `apply`: more is due than the windows have room for."""
    is_crowded: bool = False
    """Set by `apply`: another process is at it, and may not see what this one does."""

    order = 8

    def apply_one(self, tx: Transaction) -> list[Message]:
        # Two at a time would each fill the windows, and take the second job for the first.
        self.is_crowded = not tx.sqlite and not tx.execute(_TRY_TO_PUBLISH).scalar_one()
        if self.is_crowded:
            return []
        self.next_due = keep_time(tx, self.now)
        chosen = _Chooser(tx, self.rules, self.windows)
        messages = [*chosen.suspects(), *chosen.jobs()]
        self.left = chosen.left
        _mark(tx, [each.id for each in messages], self.now)
        return messages


def _mark(tx: Transaction, ids: Sequence[UUID], at: datetime | None) -> None:
    if ids:
        change = update(jobs).where(jobs.c.id.in_(ids), has_status(JobStatus.QUEUED))
        tx.execute(change.values(published_at=at))


@dataclass(slots=True)
class _Chooser:
    """Which jobs the windows have room for: of each queue the largest priority, then the oldest."""

    tx: Transaction
    rules: ClaimRules
    windows: Windows
    left: bool = False
    _by_queue: Counter[str] = field(default_factory=Counter)
    _by_task: Counter[str] = field(default_factory=Counter)
    _holds_suspect: bool = False
    _limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self._limits = Limits(self.tx, self.rules)
        count = func.count().label("unclaimed")
        suspects = func.max(jobs.c.suspect).label("suspects")
        held = select(jobs.c.queue, jobs.c.task, count, suspects).where(UNCLAIMED)
        for row in self.tx.execute(held.group_by(jobs.c.queue, jobs.c.task)):
            self._by_queue[row.queue] += row.unclaimed
            self._by_task[row.task] += row.unclaimed
            self._holds_suspect = self._holds_suspect or bool(row.suspects)

    def suspects(self) -> list[Message]:
        """One suspect at the most, and only when the broker holds none."""
        if self._holds_suspect:
            return []
        waiting = _MESSAGE.where(SUSPECTED, has_status(JobStatus.QUEUED)).order_by(jobs.c.id)
        for row in self.tx.execute(
            waiting.limit(_SUSPECTS_AT_ONCE).with_for_update(skip_locked=True)
        ):
            lane = Lane(row.queue, row.task, row.backend)
            if self._resolves(lane) and self._limits.room(lane) > 0:
                self._take(row)
                return [_message(row, suspect=True)]
        return []

    def jobs(self) -> list[Message]:
        """The others."""
        candidates: list[Any] = []
        for lane in waiting_lanes(self.tx):
            if not self._resolves(lane):
                continue
            room = self._room(lane)
            if room > 0:
                candidates += self._heads(lane, room)
        candidates.sort(key=lambda row: (-row.priority, row.id))
        taken = []
        for row in candidates:
            if self._room(Lane(row.queue, row.task, row.backend)) > 0:
                self._take(row)
                taken.append(_message(row))
            else:
                self.left = True
        return taken

    def _resolves(self, lane: Lane) -> bool:
        return self.rules.resolve(lane) is not None and self.windows.knows(lane.task)

    def _room(self, lane: Lane) -> int:
        window = self.windows.size - self._by_queue[lane.queue]
        if window <= 0:
            self.left = True
            return 0
        # What runs is counted by the limits, what the broker holds may run any moment.
        held = self._by_queue[lane.queue]
        if self.rules.task_limit(lane.task) is not None:
            held = max(held, self._by_task[lane.task])
        return min(window, self._limits.room(lane) - held)

    def _take(self, row: Any) -> None:
        self._by_queue[row.queue] += 1
        self._by_task[row.task] += 1

    def _heads(self, lane: Lane, count: int) -> Sequence[Any]:
        rows = self.tx.execute(_HEADS, lane._asdict() | {"count": count}).all()
        self.left = self.left or len(rows) == count
        return rows


_TRY_TO_PUBLISH = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended('fastapi_jobs publish', 0))"
)
_SUSPECTS_AT_ONCE = 50
_MESSAGE = select(
    *(jobs.c[name] for name in ("id", "task", "queue", "backend", "priority", "suspect"))
)
_HEADS = heads_of_lane(_MESSAGE, UNPUBLISHED)


def _message(row: Any, *, suspect: bool = False) -> Message:
    return Message(row.id, row.task, row.queue, row.priority, suspect)


@dataclass(slots=True)
class Unpublish(Operation[None]):
    """The broker did not take these jobs, or a worker may not run them now."""

    ids: Sequence[UUID]

    order = 7

    def apply_one(self, tx: Transaction) -> None:
        _mark(tx, self.ids, None)


@dataclass(slots=True)
class PublishAgain(Operation[list[Message]]):
    """Mark as published anew what nobody claimed in time: of each queue the oldest, up to a count.

    The counts are what the broker was found to have lost.
    """

    lost: Mapping[str, int]
    before: datetime
    now: datetime

    order = 8

    def apply_one(self, tx: Transaction) -> list[Message]:
        messages = []
        for queue, count in sorted(self.lost.items()):
            statement = (
                _MESSAGE.where(UNCLAIMED, jobs.c.queue == queue, jobs.c.published_at < self.before)
                .order_by(jobs.c.published_at, jobs.c.id)
                .limit(count)
                .with_for_update(skip_locked=True)
            )
            rows = tx.execute(statement)
            messages += [_message(row, suspect=bool(row.suspect)) for row in rows]
        _mark(tx, [each.id for each in messages], self.now)
        return messages


@dataclass(frozen=True, slots=True)
class Held:
    """What the database says a broker holds of one queue."""

    queue: str
    unclaimed: int
    oldest: datetime


def held_by_broker(connection: Connection) -> list[Held]:
    """Every queue that has published, unclaimed jobs."""
    oldest: ColumnElement[datetime] = func.min(jobs.c.published_at)
    statement = select(jobs.c.queue, func.count(), oldest).where(UNCLAIMED)
    rows = connection.execute(statement.group_by(jobs.c.queue))
    return [Held(*row) for row in rows]
