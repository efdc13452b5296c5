"""Durable background jobs for FastAPI: the backend is one line in `settings.toml`.

A name is loaded when it is first used: the command line, and a host that only wants `task`, need
not wait for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi_jobs.api.access import Action, Scope
    from fastapi_jobs.app import FastAPIJobs
    from fastapi_jobs.background import BackgroundJobs
    from fastapi_jobs.context import JobContext, current_job
    from fastapi_jobs.errors import (
        CancelJob,
        DuplicateJob,
        FastAPIJobsError,
        GiveUp,
        JobCancelled,
        JobFailed,
        JobNotFound,
        QueueFull,
        RetryLater,
        Snooze,
        StoreUnavailable,
    )
    from fastapi_jobs.handle import Job
    from fastapi_jobs.listing import JobFilter
    from fastapi_jobs.options import Unique
    from fastapi_jobs.retry import Retry
    from fastapi_jobs.status import JobStatus
    from fastapi_jobs.tasks import Signature, Task, task

_HOMES = {
    "Action": "api.access",
    "BackgroundJobs": "background",
    "CancelJob": "errors",
    "DuplicateJob": "errors",
    "FastAPIJobs": "app",
    "FastAPIJobsError": "errors",
    "GiveUp": "errors",
    "Job": "handle",
    "JobCancelled": "errors",
    "JobContext": "context",
    "JobFailed": "errors",
    "JobFilter": "listing",
    "JobNotFound": "errors",
    "JobStatus": "status",
    "QueueFull": "errors",
    "Retry": "retry",
    "RetryLater": "errors",
    "Scope": "api.access",
    "Signature": "tasks",
    "Snooze": "errors",
    "StoreUnavailable": "errors",
    "Task": "tasks",
    "Unique": "options",
    "current_job": "context",
    "task": "tasks",
}
"""The module of each public name."""

__all__ = [
    "Action",
    "BackgroundJobs",
    "CancelJob",
    "DuplicateJob",
    "FastAPIJobs",
    "FastAPIJobsError",
    "GiveUp",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobFilter",
    "JobNotFound",
    "JobStatus",
    "QueueFull",
    "Retry",
    "RetryLater",
    "Scope",
    "Signature",
    "Snooze",
    "StoreUnavailable",
    "Task",
    "Unique",
    "current_job",
    "task",
]


if not TYPE_CHECKING:  # or checkers would take every name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
