"""When a job's id went to the broker.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE, INDEX = "fastapi_jobs_jobs", "fastapi_jobs_jobs_published"
UNCLAIMED = sa.text("published_at IS NOT NULL AND status = 'queued'")


def upgrade() -> None:
    """Add the column and the index of what the broker holds."""
    op.add_column(TABLE, sa.Column("published_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        INDEX,
        TABLE,
        ["queue", "published_at"],
        sqlite_where=UNCLAIMED,
        postgresql_where=UNCLAIMED,
    )


def downgrade() -> None:
    """Forget what the broker holds: it is published again."""
    op.drop_index(INDEX, TABLE)
    op.drop_column(TABLE, "published_at")
