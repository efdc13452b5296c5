"""`PATCH {prefix}/{id}` before a job starts, `DELETE {prefix}/{id}` once it has finished."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from fastapi_jobs.api.access import AccessOf, Action, Found
from fastapi_jobs.api.problems import invalid_option
from fastapi_jobs.api.schemas import EditJob, JobOut
from fastapi_jobs.api.showing import IfMatch, etag_of, names_tag, show, show_again
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import InvalidOption, JobChanged
from fastapi_jobs.models import JobRecord
from fastapi_jobs.options import checked_moment, checked_priority, checked_queue, checked_tags
from fastapi_jobs.store import moves


async def edit_job(
    body: EditJob,
    request: Request,
    access: AccessOf,
    record: Annotated[JobRecord, Depends(Found(Action.EDIT))],
    if_match: IfMatch,
) -> JobOut:
    """Change priority, queue, time or tags of a job that has not started."""
    changes = checked_changes(body.given(), utc_now())
    seen = None
    if if_match is not None:
        seen = record
        if not names_tag(if_match, etag_of(await show(access, request, record)), weak=False):
            raise JobChanged(record.id)
    await access.runtime.store.write(moves.EditJob(record.id, utc_now(), changes, seen))
    return await show_again(access, request, record)


async def delete_job(
    access: AccessOf, record: Annotated[JobRecord, Depends(Found(Action.DELETE))]
) -> None:
    """Delete a finished job with its attempts and log lines."""
    await access.runtime.store.write(moves.DeleteJobs([record.id], must=True))


def checked_changes(given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the store is to write.

    Raises:
        ProblemError: a value breaks its option's rule.
    """
    try:
        return {name: _CHECKS[name](value, now) for name, value in given.items()}
    except InvalidOption as error:
        raise invalid_option(error, error.option) from error


_CHECKS: dict[str, Callable[[Any, datetime], Any]] = {
    "priority": lambda value, now: checked_priority(value),
    "queue": lambda value, now: checked_queue(value),
    "run_after": lambda value, now: (
        None if value is None else checked_moment("run_after", value, now)
    ),
    "tags": lambda value, now: checked_tags(value),
}
