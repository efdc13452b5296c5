"""What the testing kit itself raises; each builds its own sentence.

JobsTestError (a FastAPIJobsError)
├── SeveralApps            which FastAPIJobs is tested? several, and none chosen
├── TooLate                the app was started before the kit could take it over
├── NeedsEventLoop         an awaitable method where no event loop runs
├── BackInTime             the clock only goes forward
└── EndlessDrain           `drain` still finds jobs after `limit` of them
JobsFailed (an AssertionError)   jobs failed during `drain`
"""

from collections.abc import Sequence
from datetime import datetime

from fastapi_jobs.errors import FastAPIJobsError


class JobsTestError(FastAPIJobsError):
    """Base of what is wrong with the use of the testing kit."""


class SeveralApps(JobsTestError):
    """Several FastAPIJobs exist, and the test does not say which one it means."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"Several FastAPIJobs exist here ({', '.join(names)}), so it is not known which one "
            "this test means. Say it: jobs_test.use(jobs)."
        )


class TooLate(JobsTestError):
    """The app is at work already, on the database of its settings."""

    def __init__(self, name: str, database: str) -> None:
        super().__init__(
            f"The FastAPIJobs {name!r} was started on {database} before jobs_test could take it "
            "over. Let the fixture that starts the app ask for jobs_test: "
            "def client(jobs_test): with TestClient(app) as client: yield client."
        )


class NeedsEventLoop(JobsTestError):
    """An awaitable method was called where no asyncio event loop runs."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method}() is for async tests on asyncio; no asyncio event loop runs here. "
            f"In a sync test use: jobs_test.{method}_sync()."
        )


class BackInTime(JobsTestError):
    """The clock was asked to go back."""

    def __init__(self, wanted: datetime, now: datetime) -> None:
        super().__init__(
            f"The clock cannot travel back to {wanted.isoformat()}: it is {now.isoformat()} "
            "already, and jobs were stored by it. Travel forward, or begin earlier in the test."
        )


class EndlessDrain(JobsTestError):
    """`drain` has run as many jobs as it may, and there are more."""

    def __init__(self, limit: int, tasks: Sequence[str]) -> None:
        super().__init__(
            f"drain() has run {limit:,} jobs and finds more, of {', '.join(tasks)}. Does a job "
            "enqueue, retry or snooze itself for ever? If not, allow more: drain(limit=...)."
        )


class JobsFailed(AssertionError):
    """Jobs failed for good while `drain` ran them; the message has their errors."""

    def __init__(self, failures: Sequence[tuple[str, str, str]]) -> None:
        count = "1 job" if len(failures) == 1 else f"{len(failures)} jobs"
        lines = [f"{count} failed in drain(); drain(raises=False) only counts them."]
        for call, error, traceback in failures:
            lines.append(f"  {call}: {error}")
            lines += [f"    {line}" for line in traceback.splitlines()]
        super().__init__("\n".join(lines))
