"""Who changed what; workers that are to claim nothing more.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AUDIT, WORKERS = "fastapi_jobs_audit", "fastapi_jobs_workers"


def upgrade() -> None:
    """Add the table of changes, and the column of quieted workers."""
    op.create_table(
        AUDIT,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(f"{AUDIT}_who", AUDIT, ["who", "id"])
    aimed = sa.text("target IS NOT NULL")
    op.create_index(
        f"{AUDIT}_target", AUDIT, ["target", "id"], sqlite_where=aimed, postgresql_where=aimed
    )
    op.add_column(
        WORKERS, sa.Column("quiet", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    """Forget who changed what; every worker claims again."""
    op.drop_column(WORKERS, "quiet")
    op.drop_table(AUDIT)
