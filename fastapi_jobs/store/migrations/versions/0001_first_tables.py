"""The first tables.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    _attempts()
    _idempotency()
    _jobs()
    _indexes_of_jobs()
    _logs()
    _queues()
    _tags()
    _workers()


def downgrade() -> None:
    """Drop every table, with all jobs."""
    for name in ("workers", "tags", "queues", "logs", "jobs", "idempotency", "attempts"):
        op.drop_table(f"fastapi_jobs_{name}")


def _attempts() -> None:
    op.create_table(
        "fastapi_jobs_attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("backend", sa.String(length=200), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("error_type", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "number"),
        sqlite_with_rowid=False,
    )


def _idempotency() -> None:
    op.create_table(
        "fastapi_jobs_idempotency",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("body", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(
        "fastapi_jobs_idempotency_expiry", "fastapi_jobs_idempotency", ["expires_at"], unique=False
    )


def _jobs() -> None:
    op.create_table(
        "fastapi_jobs_jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("backend", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("suspect", sa.SmallInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("unique_key", sa.String(length=64), nullable=True),
        sa.Column("unique_slot", sa.String(length=64), nullable=True),
        sa.Column("unique_during", sa.String(length=10), nullable=True),
        sa.Column("unique_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _indexes_of_jobs() -> None:
    not_running = "status <> 'running'"
    of_owners = f"owner IS NOT NULL AND {not_running}"
    _index_of_jobs("owner", ["owner", "status", "id"], of_owners)
    _index_of_jobs("status", [sa.text("(status || '')"), "id"], not_running)
    _index_of_jobs("task", ["task", "status", "id"], not_running)
    _index_of_jobs("queue", ["queue", "status", "id"])
    lane = ["queue", "task", "backend", sa.text("priority DESC"), "id"]
    _index_of_jobs("claim", lane, "status = 'queued' AND suspect = 0")
    _index_of_jobs("suspect", ["id"], "status = 'queued' AND suspect = 1")
    _index_of_jobs("running", ["worker_id", "task"], "status = 'running'")
    _index_of_jobs("due", ["run_after"], "status = 'scheduled'")
    waiting = "expires_at IS NOT NULL AND status IN ('queued', 'scheduled')"
    _index_of_jobs("expiry", ["expires_at"], waiting)
    _index_of_jobs("unique", ["unique_slot"], "unique_slot IS NOT NULL", unique=True)


def _index_of_jobs(
    name: str, columns: list[Any], where: str | None = None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        f"fastapi_jobs_jobs_{name}",
        "fastapi_jobs_jobs",
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _logs() -> None:
    op.create_table(
        "fastapi_jobs_logs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("level", sa.String(length=20), nullable=False),
        sa.Column("logger", sa.String(length=200), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", "attempt", "number"),
        sqlite_with_rowid=False,
    )


def _queues() -> None:
    op.create_table(
        "fastapi_jobs_queues",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_by", sa.String(length=200), nullable=True),
        sa.Column("pause_reason", sa.Text(), nullable=True),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )


def _tags() -> None:
    op.create_table(
        "fastapi_jobs_tags",
        sa.Column("tag", sa.String(length=100), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tag", "job_id"),
        sqlite_with_rowid=False,
    )


def _workers() -> None:
    op.create_table(
        "fastapi_jobs_workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("pid_started", sa.BigInteger(), nullable=False),
        sa.Column("backends", sa.Text(), nullable=False),
        sa.Column("slots", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("tasks", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
