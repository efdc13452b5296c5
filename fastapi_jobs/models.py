"""The tables. They live on a registry of their own, so a host's tables and Alembic stay untouched.

JSON is kept as text, exactly as the task's own annotations wrote it (law 14). Indexes on waiting
jobs are partial: a million finished rows cost a claim nothing.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Index,
    SmallInteger,
    String,
    Text,
    TextClause,
    UnaryExpression,
    desc,
    false,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from fastapi_jobs.clock import uuid7

TABLE_PREFIX = "fastapi_jobs_"


NOT_RUNNING = "status <> 'running'"
"""Of a running job only the index on its worker knows, so that the others are written once less in
a job's life, and not at all before the end where the insert is the claim."""

LISTED_STATUS = "(status || '')"
"""The status as lists look for it. A plain index on the column would tempt SQLite's planner, which
has no statistics, away from the partial indexes of the claim."""


class Base(SQLModel, registry=registry()):
    """Base of our tables; its `metadata` holds nothing else."""


def _where(
    name: str,
    condition: str,
    *columns: str | UnaryExpression[str] | TextClause,
    unique: bool = False,
) -> Index:
    return Index(
        name,
        *columns,
        unique=unique,
        sqlite_where=text(condition),
        postgresql_where=text(condition),
    )


class JobRecord(Base, table=True):
    """A task record: one wish to run a task with given arguments."""

    __tablename__: ClassVar[str] = "fastapi_jobs_jobs"
    __table_args__ = (
        _where(
            "fastapi_jobs_jobs_claim",
            "status = 'queued' AND suspect = 0",
            "queue",
            "task",
            "backend",
            desc("priority"),
            "id",
        ),
        _where("fastapi_jobs_jobs_suspect", "status = 'queued' AND suspect = 1", "id"),
        _where("fastapi_jobs_jobs_due", "status = 'scheduled'", "run_after"),
        _where(
            "fastapi_jobs_jobs_expiry",
            "expires_at IS NOT NULL AND status IN ('queued', 'scheduled')",
            "expires_at",
        ),
        _where(
            "fastapi_jobs_jobs_running",
            "status = 'running'",
            "worker_id",
            "task",
            "queue",
        ),
        _where(
            "fastapi_jobs_jobs_published",
            "published_at IS NOT NULL AND status = 'queued'",
            "queue",
            "published_at",
        ),
        _where("fastapi_jobs_jobs_unique", "unique_slot IS NOT NULL", "unique_slot", unique=True),
        _where(
            "fastapi_jobs_jobs_owner",
            f"owner IS NOT NULL AND {NOT_RUNNING}",
            "owner",
            "status",
            "id",
        ),
        _where("fastapi_jobs_jobs_status", NOT_RUNNING, text(LISTED_STATUS), "id"),
        _where("fastapi_jobs_jobs_task", NOT_RUNNING, "task", "status", "id"),
        _where("fastapi_jobs_jobs_queue", NOT_RUNNING, "queue", "status", "id"),
    )

    id: UUID = Field(primary_key=True)
    task: str = Field(sa_type=String(200))
    queue: str = Field(sa_type=String(100))
    backend: str = Field(default="", sa_type=String(200))
    """The backend that `using(backend=)` chose; empty: settings decide when it is claimed."""
    status: str = Field(sa_type=String(10))
    priority: int = Field(default=0, sa_type=SmallInteger)
    args: str = Field(sa_type=Text)
    result: str | None = Field(default=None, sa_type=Text)
    error: str | None = Field(default=None, sa_type=Text)
    reason: str | None = Field(default=None, sa_type=Text)
    """Why it was cancelled, or waits again."""
    attempt: int = 0
    failures: int = 0
    """Attempts that count against the retries."""
    crashes: int = 0
    """Attempts that ended because their process died with certainty through them."""
    suspect: int = Field(default=0, sa_type=SmallInteger)
    """1: it ran when a process died with several jobs: it runs alone next."""
    fence: int = Field(default=0, sa_type=BigInteger)
    worker_id: UUID | None = None
    created_at: datetime
    run_after: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    published_at: datetime | None = None
    """When its id went to the broker, until a worker claims it."""
    progress: str | None = Field(default=None, sa_type=Text)
    unique_key: str | None = Field(default=None, sa_type=String(64))
    unique_slot: str | None = Field(default=None, sa_type=String(64))
    """The key while the job holds it."""
    unique_during: str | None = Field(default=None, sa_type=String(10))
    """How long it holds the key: `unfinished`, `queued` or `window` (until `unique_until`)."""
    unique_until: datetime | None = None
    owner: str | None = Field(default=None, sa_type=String(200))
    tags: str | None = Field(default=None, sa_type=Text)
    meta: str | None = Field(default=None, sa_type=Text)


class TagRecord(Base, table=True):
    """One tag of one job, so that a list by tag is a walk along an index."""

    __tablename__: ClassVar[str] = "fastapi_jobs_tags"
    __table_args__ = {"sqlite_with_rowid": False}

    tag: str = Field(primary_key=True, sa_type=String(100))
    job_id: UUID = Field(primary_key=True)


class AttemptRecord(Base, table=True):
    """One actual run of a job."""

    __tablename__: ClassVar[str] = "fastapi_jobs_attempts"
    __table_args__ = {"sqlite_with_rowid": False}

    job_id: UUID = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    fence: int = Field(sa_type=BigInteger)
    worker_id: UUID
    backend: str = Field(sa_type=String(200))
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = Field(default=None, sa_type=String(20))
    error_type: str | None = Field(default=None, sa_type=Text)
    error: str | None = Field(default=None, sa_type=Text)
    traceback: str | None = Field(default=None, sa_type=Text)


class LogRecord(Base, table=True):
    """One log line of one attempt."""

    __tablename__: ClassVar[str] = "fastapi_jobs_logs"
    __table_args__ = {"sqlite_with_rowid": False}

    job_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime
    level: str = Field(sa_type=String(20))
    logger: str = Field(sa_type=String(200))
    message: str = Field(sa_type=Text)
    fields: str | None = Field(default=None, sa_type=Text)


class WorkerRecord(Base, table=True):
    """A process that runs attempts, and the proof that it lives."""

    __tablename__: ClassVar[str] = "fastapi_jobs_workers"

    id: UUID = Field(primary_key=True)
    host: str = Field(sa_type=String(255))
    machine: str = Field(sa_type=String(200))
    """Boot and process namespace, empty where unknown: equal only where a pid means the same."""
    pid: int = Field(sa_type=BigInteger)
    pid_started: int = Field(default=0, sa_type=BigInteger)
    backends: str = Field(sa_type=Text)
    slots: str = Field(default="{}", sa_type=Text)
    """How many jobs it runs at a time, by backend."""
    queues: str = Field(sa_type=Text)
    tasks: str = Field(sa_type=Text)
    version: str = Field(sa_type=String(50))
    beat: int = Field(default=0, sa_type=BigInteger)
    running: int = 0
    started_at: datetime
    heartbeat_at: datetime
    quiet: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """A person wants it to claim nothing more."""


class QueueRecord(Base, table=True):
    """What people changed about a queue, and its lock; NULL leaves the settings in force."""

    __tablename__: ClassVar[str] = "fastapi_jobs_queues"

    name: str = Field(primary_key=True, sa_type=String(100))
    paused: bool | None = None
    paused_at: datetime | None = None
    paused_by: str | None = Field(default=None, sa_type=String(200))
    pause_reason: str | None = Field(default=None, sa_type=Text)
    max_running: int | None = None
    """0 is no limit, whatever the settings say."""
    priority: int | None = Field(default=None, sa_type=SmallInteger)


class AuditRecord(Base, table=True):
    """What a person changed, and from where."""

    __tablename__: ClassVar[str] = "fastapi_jobs_audit"
    __table_args__ = (
        Index("fastapi_jobs_audit_who", "who", "id"),
        _where("fastapi_jobs_audit_target", "target IS NOT NULL", "target", "id"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    at: datetime
    who: str = Field(sa_type=String(200))
    action: str = Field(sa_type=String(50))
    target: str | None = Field(default=None, sa_type=String(200))
    """What was changed: a job's id, the name of a queue."""
    details: str | None = Field(default=None, sa_type=Text)
    """The rest, as JSON."""
    address: str | None = Field(default=None, sa_type=String(100))


class IdempotencyRecord(Base, table=True):
    """Which job an `Idempotency-Key` made, until it expires."""

    __tablename__: ClassVar[str] = "fastapi_jobs_idempotency"
    __table_args__ = (Index("fastapi_jobs_idempotency_expiry", "expires_at"),)

    key: str = Field(primary_key=True, sa_type=String(64))
    """Digest of owner, route and the client's key."""
    body: str = Field(sa_type=String(64))
    job_id: UUID
    expires_at: datetime
