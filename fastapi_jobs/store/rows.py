"""The values that go into the store and come out of a claim."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import AttemptOutcome, JobStatus

During = Literal["unfinished", "queued", "window"]
OnConflict = Literal["existing", "reject", "replace"]


@dataclass(frozen=True, slots=True)
class UniqueWish:
    """A key that only one job may hold at a time."""

    key: str
    during: During = "unfinished"
    until: datetime | None = None
    """The end of a `window`."""
    on_conflict: OnConflict = "existing"


@dataclass(frozen=True, slots=True)
class IdempotencyWish:
    """A request that must make one job only, however often it comes."""

    key: str
    body: str
    expires_at: datetime
    shown: str
    """The client's own key, for the error's sentence."""


@dataclass(slots=True, eq=False)
class NewJob:
    """A job that is to be stored. `args`, `tags` and `meta` are JSON texts."""

    id: UUID
    task: str
    queue: str
    args: str
    created_at: datetime
    backend: str = ""
    priority: int = 0
    run_after: datetime | None = None
    expires_at: datetime | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    meta: str | None = None
    unique: UniqueWish | None = None
    max_queued: int | None = None


@dataclass(slots=True)
class Inserted:
    """What became of a job that was to be stored."""

    id: UUID
    status: JobStatus
    is_new: bool = True
    replayed: bool = False
    """True when an idempotency key named the job of an earlier request."""
    record: JobRecord | None = None
    """The job that is there already, as the inserting transaction sees it."""


@dataclass(slots=True)
class Claimed:
    """A job that this worker owns while the row's fence is `fence`."""

    id: UUID
    task: str
    queue: str
    backend: str
    args: str
    attempt: int
    fence: int
    failures: int
    crashes: int
    suspect: bool
    priority: int
    created_at: datetime
    started_at: datetime
    owner: str | None
    meta: str | None
    chosen: str = ""
    """What `using(backend=)` chose; looked at by claims of single jobs only."""

    @property
    def token(self) -> tuple[UUID, int, datetime]:
        """What no other claim of the same worker has: the job, its fence and its start."""
        return self.id, self.fence, self.started_at


def claimed_at_insert(job: NewJob, backend: str) -> Claimed:
    """What a claim would have returned for a job whose insert was its claim."""
    return Claimed(
        id=job.id,
        task=job.task,
        queue=job.queue,
        backend=backend,
        args=job.args,
        attempt=1,
        fence=1,
        failures=0,
        crashes=0,
        suspect=False,
        priority=job.priority,
        created_at=job.created_at,
        started_at=job.created_at,
        owner=job.owner,
        meta=job.meta,
    )


@dataclass(slots=True)
class Finish:
    """How an attempt ended and what the job becomes by it."""

    id: UUID
    attempt: int
    fence: int
    status: JobStatus
    """The status wanted; a cancel request turns `scheduled` and `queued` into `cancelled`."""
    outcome: AttemptOutcome
    at: datetime
    result: str | None = None
    run_after: datetime | None = None
    counts_as_failure: bool = False
    counts_as_crash: bool = False
    error_type: str | None = None
    error: str | None = None
    traceback: str | None = None
    reason: str | None = None
