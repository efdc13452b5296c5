"""Alembic's entry: runs on the connection that `store.migrate` hands over."""

from alembic import context

from fastapi_jobs.models import TABLE_PREFIX, Base

VERSION_TABLE = f"{TABLE_PREFIX}alembic_version"

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
