"""What the testing kit hands out: jobs that were enqueued, performed and drained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from fastapi_jobs.errors import JobCancelled, JobFailed, ResultError
from fastapi_jobs.handle import Job
from fastapi_jobs.logged import LoggedLine
from fastapi_jobs.status import AttemptOutcome, JobStatus

R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class EnqueuedJob(Generic[R_co]):
    """A job as it was stored.

    `arguments` are Python values by parameter name, defaults included, as the task will get them.
    """

    job: Job[R_co]
    arguments: Mapping[str, Any]
    backend: str | None
    """What `using(backend=)` chose."""
    expires_at: datetime | None
    unique_digest: str | None

    def __repr__(self) -> str:
        return f"<EnqueuedJob {call_text(self.job.task, self.arguments)} {self.job.status}>"


@dataclass(frozen=True, slots=True)
class Performed(Generic[R_co]):
    """One attempt that `perform` carried out, and its job as it is by that.

    `job.status` is `scheduled`, and `job.run_after` set, when it will be tried again;
    `job.progress` is the last that the task told.
    """

    job: Job[R_co]
    outcome: AttemptOutcome
    error: str | None
    traceback: str | None
    logs: Sequence[LoggedLine]
    _result: R_co

    @property
    def result(self) -> R_co:
        """What the task returned, as it comes back from JSON.

        Raises:
            JobFailed, JobCancelled: it returned nothing; the task's traceback is in the notes.
        """
        if self.job.status is JobStatus.SUCCEEDED:
            return self._result
        why: ResultError
        if self.job.status is JobStatus.CANCELLED:
            why = JobCancelled(self.job.id, self.job.reason or "")
        else:
            why = JobFailed(self.job.id, self.error or self.job.reason or str(self.outcome))
        if self.traceback:
            why.add_note(f"In the task:\n{self.traceback}")
        raise why


@dataclass(frozen=True, slots=True)
class Drained:
    """How many attempts `drain` carried out, by what their jobs became."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    again: int = 0
    """Retried or snoozed: the job is scheduled, or queued, once more."""

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.succeeded + self.failed + self.cancelled + self.again


def call_text(task: str, arguments: Mapping[str, Any]) -> str:
    """A call as it would be written: `send_welcome(email='ada@example.com')`."""
    given = ", ".join(f"{name}={value_text(value)}" for name, value in arguments.items())
    return f"{task.rpartition('.')[2]}({given})"


LONGEST_VALUE = 200


def value_text(value: Any) -> str:
    """A value as it is written, its middle left out when it is long."""
    text = repr(value)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE // 2]} … {text[-LONGEST_VALUE // 2 :]}"
