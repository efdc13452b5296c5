"""Test your jobs: `jobs_test`, the fixture of the pytest plugin, is a `JobsTest`.

A backend of your own is tested by `fastapi_jobs.testing.backends`.
"""

from fastapi_jobs.logged import LoggedLine
from fastapi_jobs.testing.clock import Clock
from fastapi_jobs.testing.errors import (
    BackInTime,
    EndlessDrain,
    JobsFailed,
    JobsTestError,
    NeedsEventLoop,
    SeveralApps,
    TooLate,
)
from fastapi_jobs.testing.kit import JobsTest
from fastapi_jobs.testing.values import Drained, EnqueuedJob, Performed

__all__ = [
    "BackInTime",
    "Clock",
    "Drained",
    "EndlessDrain",
    "EnqueuedJob",
    "JobsFailed",
    "JobsTest",
    "JobsTestError",
    "LoggedLine",
    "NeedsEventLoop",
    "Performed",
    "SeveralApps",
    "TooLate",
]
