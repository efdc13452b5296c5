"""Jobs with everything, and when the next one is due: for tests, which look at few."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import has_status, jobs, values


def get_whole_jobs(connection: Connection, task: str | None = None) -> Sequence[JobRecord]:
    """Every job, or every job of one task, oldest first, arguments and all."""
    statement = select(jobs).order_by(jobs.c.id)
    if task is not None:
        statement = statement.where(jobs.c.task == task)
    return [JobRecord(**values(row)) for row in connection.execute(statement)]


def next_scheduled(connection: Connection) -> datetime | None:
    """When the next scheduled job is due, None when none is scheduled."""
    statement = select(func.min(jobs.c.run_after)).where(has_status(JobStatus.SCHEDULED))
    moment: datetime | None = connection.execute(statement).scalar()
    return moment
