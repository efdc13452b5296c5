"""What a running task knows of its job, and how it reports. It writes through a given sink."""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import Any, Protocol
from uuid import UUID

from fastapi_jobs.errors import JobCancelled


class Sink(Protocol):
    """Where an attempt's reports go; every method is cheap, thread safe and never raises."""

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Keep the latest progress."""

    def log(self, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep a log line."""

    def mark(self, reason: str) -> None:
        """Note on the record why the job is still running."""


class Stoppable(Protocol):
    """A call that may be asked to end by itself."""

    @property
    def must_stop(self) -> bool:
        """Whether somebody wants the job cancelled, or its time is over."""


class JobContext:
    """The running job, as its task sees it: `ctx: JobContext = Depends()`.

    Outside a job it is detached: `job_id` is None, reports go nowhere.
    """

    __slots__ = ("_call", "_sink", "attempt", "job_id", "metadata", "queue", "task")

    def __init__(self) -> None:
        self.job_id: UUID | None = None
        self.task = ""
        self.queue = ""
        self.attempt = 0
        self.metadata: Mapping[str, Any] = {}
        self._sink: Sink | None = None
        self._call: Stoppable | None = None

    @classmethod
    def attached(
        cls,
        job_id: UUID,
        *,
        task: str,
        queue: str,
        attempt: int,
        metadata: Mapping[str, Any],
        sink: Sink,
        call: Stoppable,
    ) -> "JobContext":
        """The context of an attempt that runs."""
        context = cls()
        context.job_id, context.task, context.queue = job_id, task, queue
        context.attempt, context.metadata = attempt, metadata
        context._sink, context._call = sink, call
        return context

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Say how far the job is: `done` of `total`, or of 1.0 without a total."""
        if self._sink is not None:
            self._sink.progress(done, total, message)

    def log(self, message: str, **fields: Any) -> None:
        """Add a line to the attempt's log."""
        self.log_at("INFO", "fastapi_jobs.job", message, fields)

    def log_at(self, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Add a line of a given level and logger."""
        if self._sink is not None:
            self._sink.log(level, logger, message, fields)

    @property
    def cancel_requested(self) -> bool:
        """True once somebody asked to cancel this job, or its timeout passed in a thread."""
        return self._call is not None and self._call.must_stop

    def raise_if_cancelled(self) -> None:
        """End the task here if it is to be cancelled.

        Raises:
            JobCancelled: the attempt ends as cancelled.
        """
        if self.cancel_requested and self.job_id is not None:
            raise JobCancelled(self.job_id, "the task stopped when it was asked to")


_current: ContextVar[JobContext | None] = ContextVar("fastapi_jobs_job", default=None)


def current_job() -> JobContext:
    """The context of the job that runs here, or a detached one."""
    return _current.get() or JobContext()


def in_attempt() -> bool:
    """Whether a job runs here."""
    return _current.get() is not None


def enter(context: JobContext) -> "Token[JobContext | None]":
    """Make `context` the current one; give the token to `leave`."""
    return _current.set(context)


def leave(token: "Token[JobContext | None]") -> None:
    """Undo `enter`."""
    _current.reset(token)


def inside() -> JobContext | None:
    """The attached context of this task or thread, or None."""
    return _current.get()
