"""`POST {prefix}/bulk`: cancel, retry or delete all jobs that a filter names, some at a time."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from fastapi_jobs.api.access import Access, AccessOf, Action
from fastapi_jobs.api.filters import Cursor, Moment, Word, absent
from fastapi_jobs.api.many import MOST, BulkAction, ManyChanges, May
from fastapi_jobs.handle import job_of
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobAction, JobStatus


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

    def conditions(self) -> JobFilter:
        """The same for the store."""
        named = (self.task, self.queue, self.tag, self.owner)
        return JobFilter(self.status, *named, self.created_after, self.created_before)


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
    which = (await access.scope_of(request)).narrow(body.filter.conditions())
    legal = None if which is None else which.legal_for(JobAction(body.action))
    if legal is None:
        return BulkOut(done=0, asked=0, refused=0, remaining=0, next_cursor=None)
    many = ManyChanges(access.runtime.store, body.action, _may(access, request, body.action))
    out = await many.matching(legal, limit=body.limit, cursor=body.cursor)
    return BulkOut(**asdict(out))


def _may(access: Access, request: Request, action: BulkAction) -> May | None:
    if access.permission is None:
        return None

    async def may(record: JobRecord) -> bool:
        return await access.grants(request, Action(action.value), job_of(record, access.runtime))

    return may
