"""Ids by their beginning: people copy them from tables."""

from uuid import UUID

from sqlalchemy import Connection, select

from fastapi_jobs.store.tables import jobs

DIGITS = 32


def ids_that_begin(connection: Connection, digits: str, limit: int) -> list[UUID]:
    """The first ids whose hexadecimal digits, without hyphens, begin with these."""
    low, high = UUID(digits.ljust(DIGITS, "0")), UUID(digits.ljust(DIGITS, "f"))
    between = select(jobs.c.id).where(jobs.c.id >= low, jobs.c.id <= high)
    return list(connection.execute(between.order_by(jobs.c.id).limit(limit)).scalars())
