"""What would hurt in production, in sentences: judged at start-up and by `fastapi-jobs check`.

Facts are gathered in one place (`examine`), and judged by functions that only compare values.
"""

from fastapi_jobs.checks.capabilities import queue_of, shortcomings, warn_of_shortcomings
from fastapi_jobs.checks.database import is_newer, judge_revision
from fastapi_jobs.checks.examine import examine, judge_running, reach_cure, sqlite_file
from fastapi_jobs.checks.findings import Finding, Level
from fastapi_jobs.checks.running import is_stale, judge_troubles, judge_waits
from fastapi_jobs.checks.tasks import import_tasks

__all__ = [
    "Finding",
    "Level",
    "examine",
    "import_tasks",
    "is_newer",
    "is_stale",
    "judge_revision",
    "judge_running",
    "judge_troubles",
    "judge_waits",
    "queue_of",
    "reach_cure",
    "shortcomings",
    "sqlite_file",
    "warn_of_shortcomings",
]
