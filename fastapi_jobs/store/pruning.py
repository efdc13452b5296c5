"""How much history is old enough to go."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import is_listed_as, jobs

STEP = 5000
"""Rows of one statement: a long count holds up nobody."""


def count_old(connection: Connection, status: JobStatus, before: datetime) -> int:
    """How many jobs of a final status finished before; as long a walk as pruning them."""
    count, after = 0, UUID(int=0)
    while True:
        step = (
            select(jobs.c.id, jobs.c.finished_at)
            .where(is_listed_as(status), jobs.c.id > after, jobs.c.id < first_uuid7(before))
            .order_by(jobs.c.id)
            .limit(STEP)
            .subquery()
        )
        is_old = func.count().filter(step.c.finished_at < before)
        seen, old = connection.execute(select(func.count(), is_old).select_from(step)).one()
        count += old
        if seen < STEP:
            return count
        last = select(step.c.id).order_by(step.c.id.desc()).limit(1)
        after = connection.execute(last).scalar_one()
