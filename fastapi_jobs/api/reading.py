"""`GET {prefix}`, `GET {prefix}/{id}`, its attempts, log lines and result."""

import time
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response

from fastapi_jobs.api.access import Access, AccessOf, Action, Found
from fastapi_jobs.api.filters import Cursor, Moment, Word, absent
from fastapi_jobs.api.problems import Code, ProblemError, invalid_request
from fastapi_jobs.api.schemas import (
    AttemptOut,
    JobPage,
    LogPage,
    attempt_out,
    log_line,
    summary_of,
)
from fastapi_jobs.api.showing import IfNoneMatch, etag_of, names_tag, show
from fastapi_jobs.errors import JobNotFound, did_you_mean
from fastapi_jobs.handle import job_of
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries

READ = Depends(Found(Action.READ))
LIMIT = 50
MOST = 200
LINES = 200
MOST_LINES = 1000
MOST_INT = 2**31 - 1
"""What an integer column holds."""
FILTERS = (
    "status",
    "task",
    "queue",
    "tag",
    "owner",
    "created_after",
    "created_before",
    "order",
    "limit",
    "cursor",
)


Given = Annotated[Word, Query(default_factory=absent)]


async def read_filter(
    request: Request,
    status: Annotated[
        list[JobStatus], Query(default_factory=absent, description="May be repeated.")
    ],
    task: Given,
    queue: Given,
    tag: Given,
    owner: Given,
    created_after: Annotated[
        Moment, Query(default_factory=absent, description="From this time on.")
    ],
    created_before: Annotated[
        Moment, Query(default_factory=absent, description="Before this time.")
    ],
) -> JobFilter:
    """The filter of the query string.

    Raises:
        ProblemError: a name is misspelt: ignored, it would show everything.
    """
    for name in request.query_params:
        hint = "" if name in FILTERS else did_you_mean(name, FILTERS)
        if hint:
            given = request.query_params[name]
            message = f"There is no such filter.{hint}"
            raise invalid_request(
                [{"type": "extra", "loc": ("query", name), "msg": message, "input": given}]
            )
    return JobFilter(status or (), task, queue, tag, owner, created_after, created_before)


async def list_jobs(
    request: Request,
    access: AccessOf,
    which: Annotated[JobFilter, Depends(read_filter)],
    cursor: Annotated[Cursor, Query(default_factory=absent)],
    order: Literal["newest", "oldest"] = "newest",
    limit: Annotated[int, Query(ge=1, le=MOST)] = LIMIT,
) -> JobPage:
    """The jobs that you may see, page by page."""
    visible = (await access.scope_of(request)).narrow(which)
    if visible is None:
        return JobPage(items=[], next_cursor=None)
    page = await access.runtime.store.read(
        queries.list_jobs, visible, limit=limit, cursor=cursor, newest=order == "newest"
    )
    return JobPage(items=[summary_of(each) for each in page.items], next_cursor=page.next_cursor)


async def get_job(
    request: Request,
    response: Response,
    access: AccessOf,
    record: Annotated[JobRecord, READ],
    if_none_match: IfNoneMatch,
    wait: Annotated[
        float,
        Query(ge=0, allow_inf_nan=False, description="Seconds to wait for its end, at most."),
    ] = 0,
) -> Any:
    """One job; with `wait`, as soon as it has finished or the time is over."""
    job = await show(access, request, await _finished(access, record, wait))
    tag = etag_of(job)
    if if_none_match is not None and names_tag(if_none_match, tag, weak=True):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return job


async def _finished(access: Access, record: JobRecord, wait: float) -> JobRecord:
    end = time.monotonic() + min(wait, access.runtime.settings.max_wait)
    # An attempt that ends in a retry wakes whoever waits, too.
    runtime = access.runtime
    while not JobStatus(record.status).is_final and (left := end - time.monotonic()) > 0:
        may_wait_on = await runtime.waiting.until_finished(record.id, left)
        now = await runtime.store.read(queries.get_job, record.id)
        if now is None:
            raise JobNotFound(record.id)
        record = now
        if not may_wait_on:
            break
    return record


async def get_attempts(access: AccessOf, record: Annotated[JobRecord, READ]) -> list[AttemptOut]:
    """The runs of one job, oldest first."""
    found = await access.runtime.store.read(queries.get_attempts, record.id)
    return [attempt_out(each) for each in found]


async def get_logs(
    access: AccessOf,
    record: Annotated[JobRecord, READ],
    attempt: Annotated[
        int,
        Query(
            ge=1,
            le=MOST_INT,
            default_factory=absent,
            description="Its number; the newest by default.",
        ),
    ],
    after: Annotated[
        int, Query(ge=0, le=MOST_INT, description="The number of the last line that you have.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = LINES,
) -> LogPage:
    """The log lines of one attempt, page by page."""
    chosen = record.attempt if attempt is None else attempt
    lines = await access.runtime.store.read(
        queries.get_logs, record.id, chosen, after=(chosen, after), limit=limit + 1
    )
    items = [log_line(each) for each in lines[:limit]]
    next_after = items[-1].number if len(lines) > limit else None
    return LogPage(attempt=chosen, items=items, next_after=next_after)


async def get_result(request: Request, access: AccessOf, record: Annotated[JobRecord, READ]) -> Any:
    """What the task returned, as it is."""
    if record.status != JobStatus.SUCCEEDED:
        legal = await access.actions_on(request, job_of(record, access.runtime))
        raise ProblemError(
            409,
            Code.NO_RESULT,
            "The job has no result",
            f"Job {record.id} is {record.status}; only a succeeded job has a result.",
            extras={"job_status": record.status, "legal_actions": legal},
        )
    return Response(record.result or "null", media_type="application/json")
