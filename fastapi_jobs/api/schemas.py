"""The bodies that the API takes and gives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, from_json

from fastapi_jobs.api.filters import absent
from fastapi_jobs.api.problems import BringsProblem
from fastapi_jobs.logged import logged_line
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord, WorkerRecord
from fastapi_jobs.options import BEYOND, MOST_TAGS, PRIORITIES, QUEUE_NAME
from fastapi_jobs.status import AttemptOutcome, JobAction, JobStatus, legal_actions
from fastapi_jobs.store.rows import Inserted, NewJob
from fastapi_jobs.using import UNIQUE_KEY_LENGTH

MOST_SECONDS = 3e10
"""About a thousand years."""


def _moment(value: object) -> datetime | float | None:
    """Seconds from now, or an ISO 8601 time with its offset."""
    if value is None:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= MOST_SECONDS:
            return value
        raise PydanticCustomError("moment", BEYOND)
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError(
            "moment", 'give seconds from now, or a time such as "2030-01-31T08:00:00Z".'
        ) from None


Moment = Annotated[
    datetime | float | None,
    PlainValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": -MOST_SECONDS, "maximum": MOST_SECONDS},
                {"type": "string", "format": "date-time"},
                {"type": "null"},
            ]
        },
    ),
]


# What the schema says of the rules that `using(...)` judges.
PRIORITY = Field(json_schema_extra={"minimum": PRIORITIES[0], "maximum": PRIORITIES[-1]})
QUEUE = Field(json_schema_extra={"pattern": f"^{QUEUE_NAME.pattern}$"})
UNIQUE_KEY = Field(json_schema_extra={"minLength": 1, "maxLength": UNIQUE_KEY_LENGTH})
TAGS = Field(json_schema_extra={"maxItems": MOST_TAGS})
Tag = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": 100})]


class Options(BaseModel):
    """Options of `using(...)`; which of them a request may set is a setting, `api_options`."""

    model_config = ConfigDict(strict=True, extra="allow")

    run_after: Moment = Field(
        default=None, description="Seconds from now, or a time with its offset."
    )
    expires: Moment = Field(
        default=None, description="Seconds from now, or a time with its offset."
    )
    tags: Annotated[list[Tag], TAGS] | None = None
    queue: Annotated[str, QUEUE] | None = None
    priority: Annotated[int, PRIORITY] | None = None
    metadata: dict[str, Any] | None = None
    unique_key: Annotated[str, UNIQUE_KEY] | None = None
    backend: str | None = None

    def given(self) -> Mapping[str, Any]:
        """What the request said, unknown names included."""
        return {name: value for name, value in self if name in self.model_fields_set}


class CreateJob(BaseModel):
    """A job that a client wants."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=200, examples=["app.tasks.send_welcome"])
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    options: Options = Options()


class JobSummary(BaseModel):
    """One job in a list; times are UTC."""

    id: UUID
    task: str
    queue: str
    status: JobStatus
    attempt: int
    priority: int
    created_at: datetime
    run_after: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    progress: dict[str, Any] | None = None
    error: str | None = None
    reason: str | None = None
    cancel_requested_at: datetime | None = None
    owner: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    actions: list[JobAction] = Field(
        description="What its status allows now; for a single job, also your permission."
    )


class JobOut(JobSummary):
    """One job with its result, once there is one."""

    result: Any = None
    is_new: bool = Field(default=False, description="True in the answer that made it.")


class JobPage(BaseModel):
    """One page of a list; a page may be short, only `next_cursor` null is the end."""

    items: list[JobSummary]
    next_cursor: str | None


class EditJob(BaseModel):
    """What to change of a job that has not started; what is absent stays as it is."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"priority": 10, "run_after": 60}]},
    )

    priority: Annotated[int, PRIORITY] = Field(
        default_factory=absent, description="Larger runs first."
    )
    queue: Annotated[str, QUEUE] = Field(default_factory=absent)
    run_after: Moment = Field(
        default_factory=absent,
        description="Seconds from now, or a time with its offset; null is at once.",
    )
    tags: Annotated[list[Tag], TAGS] = Field(
        default_factory=absent, description="Replace those that it has."
    )

    def given(self) -> Mapping[str, Any]:
        """What the request said."""
        return {name: value for name, value in self if name in self.model_fields_set}


class LogLine(BaseModel):
    """One line that an attempt wrote."""

    number: int
    at: datetime
    level: str
    logger: str
    message: str
    fields: dict[str, Any] | None


class LogPage(BaseModel):
    """Lines of one attempt in their order."""

    attempt: int
    items: list[LogLine]
    next_after: int | None = Field(
        description="Ask again with this `after`; null where there was no more when it was read."
    )


class AttemptOut(BaseModel):
    """One run of a job."""

    number: int
    backend: str
    worker_id: UUID
    started_at: datetime
    finished_at: datetime | None
    outcome: AttemptOutcome | None
    error_type: str | None
    error: str | None
    traceback: str | None


class WorkerOut(BaseModel):
    """One process that runs jobs."""

    id: UUID
    host: str
    pid: int
    version: str
    backends: list[str]
    slots: dict[str, int] = Field(description="How many jobs it runs at a time, by backend.")
    queues: list[str] = Field(description="Empty: all of them.")
    running: int
    quiet: bool = Field(description="It goes on with what it runs, and takes nothing more.")
    started_at: datetime
    heartbeat_at: datetime


class Health(BringsProblem):
    """Whether jobs can be taken; the details only for those who may see them."""

    status: str = Field(default="ok", description="Or degraded: jobs are taken, and some wait.")
    dispatcher: str | None = Field(default=None, description="Whether this very process runs jobs.")
    workers: list[WorkerOut] | None = None
    unknown_tasks: list[str] | None = Field(
        default=None, description="Tasks with queued jobs that no worker knows; they wait."
    )
    broker: str | None = Field(
        default=None, description="Why the broker cannot be told of jobs; null: it can, or none is."
    )
    redis: str | None = Field(
        default=None,
        description="Why other processes cannot be woken by Redis, so that they only poll; null: "
        "they can, or there is none.",
    )


def _summary(record: JobRecord) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in _PLAIN}
    return plain | {
        "progress": from_json(record.progress) if record.progress else None,
        "tags": from_json(record.tags) if record.tags else [],
        "metadata": from_json(record.meta) if record.meta else {},
        "actions": legal_actions(JobStatus(record.status)),
    }


_PLAIN = tuple(
    name
    for name in JobSummary.model_fields
    if name not in ("progress", "tags", "metadata", "actions")
)


def summary_of(record: JobRecord) -> JobSummary:
    """A record as a list shows it."""
    return JobSummary(**_summary(record))


def job_out(record: JobRecord, *, is_new: bool = False) -> JobOut:
    """A record as a page of its own shows it."""
    result = None if record.result is None else from_json(record.result)
    return JobOut(**_summary(record), result=result, is_new=is_new)


def new_job_out(new: NewJob, inserted: Inserted) -> JobOut:
    """A job that was just stored, without asking the database again."""
    is_running = inserted.status is JobStatus.RUNNING
    return JobOut(
        id=new.id,
        task=new.task,
        queue=new.queue,
        status=inserted.status,
        attempt=1 if is_running else 0,
        priority=new.priority,
        created_at=new.created_at,
        run_after=new.run_after,
        started_at=new.created_at if is_running else None,
        expires_at=new.expires_at,
        owner=new.owner,
        tags=list(new.tags),
        metadata=from_json(new.meta) if new.meta else {},
        actions=legal_actions(inserted.status),
        is_new=True,
    )


def attempt_out(record: AttemptRecord) -> AttemptOut:
    """A record of one run."""
    return AttemptOut(**{name: getattr(record, name) for name in AttemptOut.model_fields})


def log_line(record: LogRecord) -> LogLine:
    """A record of one line."""
    line = logged_line(record)
    plain = {name: getattr(line, name) for name in LogLine.model_fields if name != "fields"}
    return LogLine(**plain, fields=dict(line.fields) or None)


def worker_out(record: WorkerRecord) -> WorkerOut:
    """A worker's row."""
    texts = ("backends", "slots", "queues")
    parsed = {name: from_json(getattr(record, name)) for name in texts}
    plain = {name: getattr(record, name) for name in WorkerOut.model_fields if name not in parsed}
    return WorkerOut(**plain, **parsed)
