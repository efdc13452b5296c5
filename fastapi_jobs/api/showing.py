"""One job as the caller may see it, and the tag of that sight."""

import hashlib
from typing import Annotated

from fastapi import Header, Request

from fastapi_jobs.api.access import Access
from fastapi_jobs.api.filters import absent
from fastapi_jobs.api.schemas import JobOut, job_out, new_job_out
from fastapi_jobs.errors import JobNotFound
from fastapi_jobs.handle import job_of, job_of_inserted
from fastapi_jobs.models import JobRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.rows import Inserted, NewJob

IfNoneMatch = Annotated[
    str,
    Header(
        alias="If-None-Match",
        default_factory=absent,
        description="The `ETag` that you have: 304 if it still holds.",
    ),
]
IfMatch = Annotated[
    str,
    Header(
        alias="If-Match",
        default_factory=absent,
        description="The `ETag` that you saw: 412 if the job changed since.",
    ),
]


async def show(
    access: Access, request: Request, record: JobRecord, *, is_new: bool = False
) -> JobOut:
    """A record, with the actions that are legal for this caller."""
    job = job_out(record, is_new=is_new)
    job.actions = await access.actions_on(request, job_of(record, access.runtime))
    return job


async def show_new(access: Access, request: Request, new: NewJob, inserted: Inserted) -> JobOut:
    """The same of a job that was just stored, without asking the database again."""
    job = new_job_out(new, inserted)
    value = job_of_inserted(new, inserted, access.runtime)
    job.actions = await access.actions_on(request, value)
    return job


async def show_again(access: Access, request: Request, record: JobRecord) -> JobOut:
    """The same as the database has it now.

    Raises:
        JobNotFound: it was deleted meanwhile.
    """
    found = await access.runtime.store.read(queries.get_job, record.id)
    if found is None:
        raise JobNotFound(record.id)
    return await show(access, request, found)


def etag_of(job: JobOut) -> str:
    """A tag that changes whenever anything that is shown of the job does."""
    return f'"{hashlib.sha256(job.model_dump_json().encode()).hexdigest()[:32]}"'


def names_tag(header: str, tag: str, *, weak: bool) -> bool:
    """Whether `header` is "*" or names `tag`; `weak` takes `W/"…"` for the same as `"…"`."""
    given = [each.strip() for each in header.split(",")]
    if weak:
        given = [each.removeprefix("W/") for each in given]
    return "*" in given or tag in given
