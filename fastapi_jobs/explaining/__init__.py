"""Why is this job not running? The one place that answers it, in sentences, for every face."""

from fastapi_jobs.explaining.explain import EVERYBODY, explain, explain_sync
from fastapi_jobs.explaining.reasons import (
    Explanation,
    Reason,
    ReasonCode,
    Viewer,
    duration,
    moment,
)

__all__ = [
    "EVERYBODY",
    "Explanation",
    "Reason",
    "ReasonCode",
    "Viewer",
    "duration",
    "explain",
    "explain_sync",
    "moment",
]
