"""`POST {prefix}/{id}/cancel` and `/retry`."""

from typing import Annotated

from fastapi import Depends, Request, Response

from fastapi_jobs.api.access import AccessOf, Action, Found
from fastapi_jobs.api.schemas import JobOut
from fastapi_jobs.api.showing import show_again
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.moves import RequestCancel, RetryJob


async def cancel_job(
    request: Request,
    response: Response,
    access: AccessOf,
    record: Annotated[JobRecord, Depends(Found(Action.CANCEL))],
) -> JobOut:
    """Cancel a waiting job (200), ask a running one (202)."""
    await access.runtime.store.write(RequestCancel(record.id, utc_now()))
    job = await show_again(access, request, record)
    response.status_code = 200 if job.status is JobStatus.CANCELLED else 202
    return job


async def retry_job(
    request: Request,
    access: AccessOf,
    record: Annotated[JobRecord, Depends(Found(Action.RETRY))],
) -> JobOut:
    """Run a finished job again, with all its retries."""
    try:
        await access.runtime.store.write(RetryJob(record.id, utc_now()))
    except IllegalMove as error:
        if error.holder is None or await access.sees_id(request, error.holder):
            raise
        reason = "Its unique key is held by another job."
        raise IllegalMove(error.action, record.id, error.status, error.legal, reason) from error
    return await show_again(access, request, record)
