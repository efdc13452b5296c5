"""Claims: due jobs for free slots, by queue and priority, never past a pause or a limit (law 4)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Insert,
    Update,
    bindparam,
    case,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from fastapi_jobs.slots import Slots
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.insert import ATTEMPT, attempt_statement, worker_lives
from fastapi_jobs.store.lanes import ClaimRules, Lane, Limits
from fastapi_jobs.store.prepared import Prepared, Values, prepared_update
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.staging import keep_time
from fastapi_jobs.store.tables import (
    SUSPECTED,
    attempts,
    guarded,
    has_status,
    jobs,
    status_text,
    unexpired,
)
from fastapi_jobs.store.transaction import Operation, Transaction

_SUSPECTS_AT_ONCE = 50


@dataclass(slots=True)
class ClaimJobs(Operation[list[Claimed]]):
    """Claim for `room` free slots of each backend."""

    worker: UUID
    rules: ClaimRules
    room: Mapping[str, int] | Slots
    """Free slots by backend; of `Slots`, those are taken that the claim needs."""
    now: datetime
    idle: bool = False
    """Nothing runs in this process, nor will until the answer: a suspect may run here, alone."""
    looks: bool = False
    """Nothing runs in this process now: if a suspect waits, say so and take nothing."""
    only: UUID | None = None
    """Claim this job or nothing."""
    next_due: datetime | None = None
    """Set by `apply`: when the next scheduled or expiring job wants attention."""
    limited: frozenset[str] = frozenset()
    """Set by `apply`: backends whose slots or limits were filled, so that more jobs may wait."""
    suspect_waits: bool = False
    """Set by `apply`, if it `looks`: a suspect could run here."""
    spent: dict[str, int] = field(default_factory=dict)
    """Set by `apply`: what is taken of the `Slots`."""
    _taken: list[Claimed] = field(default_factory=list, repr=False)
    """What the last try took: when its commit was lost on the way back, these are ours."""

    order = 9

    def apply_one(self, tx: Transaction) -> list[Claimed]:
        if self._taken and (kept := self._still_ours(tx)):
            return kept
        room = self._reserve()
        self._taken = self._claim(tx, room)
        self._settle(Counter(each.backend for each in self._taken))
        return self._taken

    def _reserve(self) -> Mapping[str, int]:
        if not isinstance(self.room, Slots):
            return self.room
        self._settle({})  # what a try before had taken: it was rolled back
        self.spent = self.room.reserve()
        return self.spent

    def _settle(self, needed: Mapping[str, int]) -> None:
        """Give back all reserved slots but those that are needed."""
        if isinstance(self.room, Slots):
            unused = {name: count - needed.get(name, 0) for name, count in self.spent.items()}
            self.room.give_back(unused)
            self.spent = {name: count for name, count in needed.items() if count}

    def _still_ours(self, tx: Transaction) -> list[Claimed]:
        """Whether the try before was committed; worker, fence and start are its token."""
        statement = select(jobs.c.id, jobs.c.fence, jobs.c.started_at).where(
            jobs.c.id.in_([each.id for each in self._taken]),
            has_status(JobStatus.RUNNING),
            jobs.c.worker_id == self.worker,
        )
        owned = {tuple(row) for row in tx.execute(statement)}
        return [each for each in self._taken if each.token in owned]

    def _claim(self, tx: Transaction, room: Mapping[str, int]) -> list[Claimed]:
        if not worker_lives(tx, self.worker):
            return []
        self.next_due = keep_time(tx, self.now)
        if self.only is not None:
            return self._claim_by_id(tx, self.only, room)
        if self.idle or self.looks:
            suspect = self._find_suspect(tx, room)
            self.suspect_waits = suspect is not None
            if suspect is not None:
                return self._take(tx, [suspect]) if self.idle else []
        limits = Limits(tx, self.rules)
        chosen = limits.choose(room)
        # Who had no slot left may leave jobs waiting, and who met a full limit does: both ask again
        # as soon as something ends here.
        chosen_of = Counter(backend for _, backend in chosen)
        full = {name for name in room if chosen_of[name] >= room[name]}
        self.limited = frozenset(limits.full | full)
        return self._take(tx, chosen)

    def _claim_by_id(self, tx: Transaction, job_id: UUID, room: Mapping[str, int]) -> list[Claimed]:
        statement = select(jobs.c.queue, jobs.c.task, jobs.c.backend).where(
            jobs.c.id == job_id, has_status(JobStatus.QUEUED)
        )
        row = tx.execute(statement.with_for_update(skip_locked=True)).first()
        if row is None:
            return []
        lane = Lane(row.queue, row.task, row.backend)
        backend = self.rules.resolve(lane)
        if backend is None or backend not in room:
            return []
        if Limits(tx, self.rules).room(lane) <= 0:
            return []
        return self._take(tx, [(job_id, backend)])

    def _find_suspect(self, tx: Transaction, room: Mapping[str, int]) -> tuple[UUID, str] | None:
        statement = (
            select(jobs.c.id, jobs.c.queue, jobs.c.task, jobs.c.backend)
            .where(has_status(JobStatus.QUEUED), SUSPECTED, jobs.c.id > bindparam("after"))
            .order_by(jobs.c.id)
            .limit(_SUSPECTS_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        limits = Limits(tx, self.rules)
        rows = tx.execute(statement, {"after": UUID(int=0)}).all()
        while rows:
            for row in rows:
                lane = Lane(row.queue, row.task, row.backend)
                backend = self.rules.resolve(lane)
                if backend is not None and room.get(backend) and limits.room(lane) > 0:
                    return row.id, backend
            rows = tx.execute(statement, {"after": rows[-1].id}).all()
        return None

    def _take(self, tx: Transaction, chosen: Sequence[tuple[UUID, str]]) -> list[Claimed]:
        if not chosen:
            return []
        backends = dict(chosen)
        # One that expired is here only when too many did at once; the next claim cancels it.
        ours = jobs.c.id.in_(list(backends)) & unexpired(self.now)
        rows = tx.execute(CLAIMED_COLUMNS.where(ours)).all()
        claimed = {row.id: claimed_row(row, backends[row.id], self.now) for row in rows}
        take(tx, self.worker, list(claimed.values()))
        return [claimed[job_id] for job_id, _ in chosen if job_id in claimed]


def take(tx: Transaction, worker: UUID, chosen: Sequence[Claimed]) -> None:
    """Make `worker` the owner of jobs whose rows this transaction holds."""
    owner = tx.encode_id(worker)
    encoded = [(job, tx.encode_id(job.id), tx.encode_time(job.started_at)) for job in chosen]
    tx.many(_claim_statement(), [(owner, at, job_id, job.backend) for job, job_id, at in encoded])
    if tx.sqlite:
        tx.many(
            attempt_statement(),
            [
                (job_id, job.attempt, job.fence, owner, job.backend, at)
                for job, job_id, at in encoded
            ],
        )


CLAIMED_COLUMNS = select(
    *(jobs.c[name] for name in ("id", "task", "queue", "args", "attempt", "fence", "failures")),
    *(jobs.c[name] for name in ("crashes", "suspect", "priority", "created_at", "owner")),
    jobs.c.meta,
)


def claimed_row(row: Any, backend: str, now: datetime) -> Claimed:
    """A row of CLAIMED_COLUMNS as it is once it is taken."""
    return Claimed(
        id=row.id,
        task=row.task,
        queue=row.queue,
        backend=backend,
        args=row.args,
        attempt=row.attempt + 1,
        fence=row.fence + 1,
        failures=row.failures,
        crashes=row.crashes,
        suspect=bool(row.suspect),
        priority=row.priority,
        created_at=row.created_at,
        # The clock of the host that enqueued it may be ahead of ours.
        started_at=max(now, row.created_at),
        owner=row.owner,
        meta=row.meta,
    )


@cache
def _claim_statement() -> Prepared:
    """Jobs that are claimed; on PostgreSQL with their attempts, in one statement."""

    def build(given: Values) -> Update:
        return (
            update(jobs)
            .where(
                jobs.c.id == given["job_id"],
                guarded(JobStatus.QUEUED, literal_column("1")) == literal_column("1"),
            )
            .ordered_values(*taken_values(given["worker"], given["now"]))
        )

    types = {
        "worker": jobs.c.id.type,
        "now": jobs.c.started_at.type,
        "job_id": jobs.c.id.type,
        "runs_on": attempts.c.backend.type,
    }
    return prepared_update(types, build, _with_attempts)


def _with_attempts(claim: Update, given: Values) -> Insert:
    row = jobs.c
    of_attempt = (row.id, row.attempt, row.fence, row.worker_id, given["runs_on"], row.started_at)
    return attempts_of(claim.returning(*of_attempt).cte("taken"))


def attempts_of(taken: CTE) -> Insert:
    """The insert of the attempts of jobs that a claim took in the same statement."""
    row = taken.c
    begun = select(row.id, row.attempt, row.fence, row.worker_id, row.runs_on, row.started_at)
    return postgresql.insert(attempts).from_select(ATTEMPT, begun).on_conflict_do_nothing()


def taken_values(
    worker: ColumnElement[Any], now: ColumnElement[Any]
) -> list[tuple[ColumnElement[Any], Any]]:
    """What a claim by `worker` makes of a job's row."""
    return [
        (jobs.c.status, status_text(JobStatus.RUNNING)),
        (jobs.c.fence, jobs.c.fence + literal_column("1")),
        (jobs.c.attempt, jobs.c.attempt + literal_column("1")),
        (jobs.c.worker_id, worker),
        (jobs.c.started_at, now),
        (jobs.c.reason, literal_column("NULL")),
        (jobs.c.published_at, literal_column("NULL")),
        (jobs.c.unique_slot, _KEEPS_WHILE_RUNNING),
    ]


_KEEPS_WHILE_RUNNING = case(
    (jobs.c.unique_during == literal_column("'queued'"), literal_column("NULL")),
    else_=jobs.c.unique_slot,
)
