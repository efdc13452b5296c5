"""Worker rows: registering, beating, leaving, and what one worker sees of the others (law 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fastapi_jobs.errors import WorkerNotFound
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.tables import has_status, jobs, workers
from fastapi_jobs.store.transaction import Operation, Patience, Transaction


@dataclass(slots=True)
class RegisterWorker(Operation[None]):
    """Make the worker's row; before it exists the worker claims nothing."""

    record: WorkerRecord

    order = 0

    def apply_one(self, tx: Transaction) -> None:
        insert = sqlite.insert if tx.sqlite else postgresql.insert
        tx.execute(insert(workers).values(self.record.model_dump()).on_conflict_do_nothing())


@dataclass(slots=True)
class UnregisterWorker(Operation[bool]):
    """Remove the worker's row, unless it still owns a job: then others must see it die."""

    worker: UUID

    order = 8
    patience = 5.0

    def apply_one(self, tx: Transaction) -> bool:
        owns = select(jobs.c.id).where(
            has_status(JobStatus.RUNNING), jobs.c.worker_id == self.worker
        )
        if tx.execute(owns.limit(1)).first() is not None:
            return False
        tx.execute(delete(workers).where(workers.c.id == self.worker))
        return True


@dataclass(slots=True)
class QuietWorker(Operation[None]):
    """Let a worker claim nothing more, or again; what it runs goes on."""

    worker: UUID
    quiet: bool
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> WorkerNotFound | None:
        change = update(workers).where(workers.c.id == self.worker).values(quiet=self.quiet)
        if not tx.execute(change).rowcount:
            return WorkerNotFound(self.worker)
        tx.hints.queued = tx.hints.queued or not self.quiet
        return None


def may_claim(connection: Connection, worker: UUID) -> bool:
    """Whether a worker's claims are granted: nobody quieted it, nor took it for dead."""
    quiet = select(workers.c.quiet).where(workers.c.id == worker)
    return connection.execute(quiet).scalar() is False


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look shows of another worker."""

    id: UUID
    beat: int
    machine: str
    pid: int
    pid_started: int


class Beaten(Enum):
    """What a beat finds."""

    ALIVE = "alive"
    QUIET = "quiet"  # a person wants this worker to claim nothing more
    GONE = "gone"  # the row is not there: others think this worker dead


class Pulse:
    """The heartbeat's own connection, so that a long batch never looks like death.

    Every method raises the driver's error when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def beat(self, worker: UUID, now: datetime, running: int) -> Beaten:
        """Beat once, and hear what others think of this worker."""
        statement = (
            update(workers)
            .where(workers.c.id == worker)
            .values(beat=workers.c.beat + 1, heartbeat_at=now, running=running)
            .returning(workers.c.quiet)
        )
        with self._database.waits.counted() as wait:
            connection = self._connect()
            wait.connection = connection.connection.driver_connection
            with connection.begin():
                row = connection.execute(statement).first()
        if row is None:
            return Beaten.GONE
        return Beaten.QUIET if row.quiet else Beaten.ALIVE

    def others(self, worker: UUID) -> list[Seen]:
        """Every other worker's row."""
        columns = (workers.c[name] for name in ("id", "beat", "machine", "pid", "pid_started"))
        with self._database.reader() as connection:
            rows = connection.execute(select(*columns).where(workers.c.id != worker))
            return [Seen(*row) for row in rows]

    def owned(self, worker: UUID) -> Sequence[tuple[UUID, int]]:
        """Id and fence of each job that the database says this worker runs."""
        return self._pairs(jobs.c.worker_id == worker)

    def cancel_requests(self, worker: UUID) -> Sequence[tuple[UUID, int]]:
        """Id and fence of each running job of this worker that somebody wants cancelled."""
        return self._pairs(jobs.c.worker_id == worker, jobs.c.cancel_requested_at.is_not(None))

    def has_orphans(self) -> bool:
        """Whether a running job's worker has no row."""
        return bool(self._pairs(jobs.c.worker_id.not_in(select(workers.c.id))))

    def _pairs(self, *conditions: Any) -> Sequence[tuple[UUID, int]]:
        statement = select(jobs.c.id, jobs.c.fence).where(
            has_status(JobStatus.RUNNING), *conditions
        )
        with self._database.reader() as connection:
            return [(row.id, row.fence) for row in connection.execute(statement)]

    def _connect(self) -> Connection:
        if self._connection is not None and self._connection.invalidated:
            self.close()
        if self._connection is None:
            self._connection = self._database.writing.connect()
        return self._connection

    def close(self) -> None:
        """Give the connection back; the next beat opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
