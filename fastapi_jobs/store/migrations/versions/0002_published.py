"""When a job's id went to the broker; running jobs are kept out of the index on queues.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "fastapi_jobs_jobs"
PUBLISHED, QUEUE, RUNNING = (f"{TABLE}_{name}" for name in ("published", "queue", "running"))


def upgrade() -> None:
    """Add the column and the index of what the broker holds."""
    op.add_column(TABLE, sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    _index(PUBLISHED, ["queue", "published_at"], "published_at IS NOT NULL AND status = 'queued'")
    _again(QUEUE, ["queue", "status", "id"], "status <> 'running'")
    _again(RUNNING, ["worker_id", "task", "queue"], "status = 'running'")


def downgrade() -> None:
    """Forget what the broker holds: it is published again."""
    _again(RUNNING, ["worker_id", "task"], "status = 'running'")
    _again(QUEUE, ["queue", "status", "id"])
    op.drop_index(PUBLISHED, TABLE)
    op.drop_column(TABLE, "published_at")


def _again(name: str, columns: list[str], where: str | None = None) -> None:
    op.drop_index(name, TABLE)
    _index(name, columns, where)


def _index(name: str, columns: list[str], where: str | None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, TABLE, columns, sqlite_where=condition, postgresql_where=condition)
