"""`POST {prefix}/bulk`: cancel, retry or delete all jobs that a filter names, some at a time."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from fastapi_jobs.api.access import Access, AccessOf, Action
from fastapi_jobs.api.filters import Cursor, Moment, Word, absent
from fastapi_jobs.clock import utc_now
from fastapi_jobs.handle import job_of
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobAction, JobStatus, legal_actions
from fastapi_jobs.store import queries
from fastapi_jobs.store.many import CancelJobs, Changed, DeleteMany, RetryJobs
from fastapi_jobs.store.queries import Page

MOST = 1000
CHUNK = 100
"""Jobs of one transaction: others write in between."""
MOST_PAGES = 50
"""Pages of one call, where many of them hold nothing that fits."""


class BulkAction(StrEnum):
    """What can be asked of many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


class BulkFilter(BaseModel):
    """Which jobs: all conditions at once, at least one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"minProperties": 1, "examples": [{"status": ["failed"]}]}
    )

    status: list[JobStatus] = Field(default=[], min_length=1)
    task: Word = Field(default_factory=absent)
    queue: Word = Field(default_factory=absent)
    tag: Word = Field(default_factory=absent)
    owner: Word = Field(default_factory=absent)
    created_after: Moment = Field(default_factory=absent, description="From this time on.")
    created_before: Moment = Field(default_factory=absent, description="Before this time.")

    def for_action(self, action: JobAction) -> JobFilter:
        """The jobs that `action` is legal for."""
        legal = [each for each in JobStatus if action in legal_actions(each)]
        return JobFilter(
            [each for each in legal if each in self.status or not self.status],
            *(self.task, self.queue, self.tag, self.owner),
            *(self.created_after, self.created_before),
        )


def _says_something(which: BulkFilter) -> BulkFilter:
    if not which.model_fields_set:
        raise PydanticCustomError(
            "empty_filter", 'name at least one condition, such as {"status": ["failed"]}.'
        )
    return which


class BulkChange(BaseModel):
    """One change of many jobs, oldest first."""

    model_config = ConfigDict(extra="forbid")

    action: BulkAction
    filter: Annotated[BulkFilter, AfterValidator(_says_something)]
    limit: int = Field(default=MOST, ge=1, le=MOST, description="How many jobs at most.")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the call before.")


class BulkOut(BaseModel):
    """What became of the jobs that this call looked at."""

    done: int
    asked: int = Field(description="Running jobs that were asked to stop.")
    refused: int = Field(
        description="Jobs that stay: your permission, their status or a unique key forbade it."
    )
    remaining: int = Field(description="Jobs that are left to look at; counted up to 10,000.")
    next_cursor: str | None = Field(description="Call again with it; null is the end.")


async def change_jobs(body: BulkChange, request: Request, access: AccessOf) -> BulkOut:
    """Cancel, retry or delete the jobs that a filter names."""
    which = (await access.scope_of(request)).narrow(body.filter.for_action(JobAction(body.action)))
    out = BulkOut(done=0, asked=0, refused=0, remaining=0, next_cursor=body.cursor)
    if which is None or not which.statuses:
        return out.model_copy(update={"next_cursor": None})
    left = body.limit
    for _ in range(MOST_PAGES):
        page = await _page(access, which, min(left, CHUNK), out.next_cursor)
        await _change(access, request, body.action, page.items, out)
        left -= len(page.items)
        out.next_cursor = page.next_cursor
        if page.next_cursor is None or not left:
            break
    if out.next_cursor is not None:
        out.remaining = await access.runtime.store.read(queries.count_after, which, out.next_cursor)
    return out


async def _page(access: Access, which: JobFilter, limit: int, cursor: str | None) -> Page:
    return await access.runtime.store.read(
        queries.list_jobs, which, limit=limit, cursor=cursor, newest=False
    )


async def _change(
    access: Access, request: Request, action: BulkAction, items: Sequence[JobRecord], out: BulkOut
) -> None:
    """Change those of one page that the permission hook grants, in one transaction."""
    ids = [each.id for each in items if await _granted(access, request, action, each)]
    changed = await _written(access, action, ids) if ids else Changed()
    out.done += changed.done
    out.asked += changed.asked
    out.refused += changed.refused + len(items) - len(ids)


async def _granted(access: Access, request: Request, action: BulkAction, record: JobRecord) -> bool:
    if access.permission is None:
        return True
    return await access.grants(request, Action(action.value), job_of(record, access.runtime))


async def _written(access: Access, action: BulkAction, ids: Sequence[UUID]) -> Changed:
    store = access.runtime.store
    match action:
        case BulkAction.CANCEL:
            return await store.write(CancelJobs(ids, utc_now()))
        case BulkAction.RETRY:
            return await store.write(RetryJobs(ids, utc_now()))
        case BulkAction.DELETE:
            return await store.write(DeleteMany(ids))
