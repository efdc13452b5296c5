"""What an explanation is made of, and for whose eyes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from fastapi_jobs.status import JobStatus


class ReasonCode(StrEnum):
    """Why a job is where it is; stable, for scripts."""

    BLOCKED = "blocked"
    NOT_DUE = "not_due"
    RETRYING = "retrying"
    EXPIRES = "expires"
    PAUSED = "paused"
    QUEUE_FULL = "queue_full"
    TASK_FULL = "task_full"
    BACKEND_FULL = "backend_full"
    BEHIND = "behind"
    NO_WORKER = "no_worker"
    QUIET = "quiet"
    UNKNOWN_TASK = "unknown_task"
    QUEUE_UNSERVED = "queue_unserved"
    BACKEND_UNSERVED = "backend_unserved"
    BROKER_AWAY = "broker_away"
    SUSPECT = "suspect"
    SUSPECT_FIRST = "suspect_first"
    NEXT = "next"
    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"
    WORKER_GONE = "worker_gone"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    KEY_HELD = "key_held"


class Reason(NamedTuple):
    """One sentence, its stable code, and the values in it as plain JSON (times as ISO 8601)."""

    code: ReasonCode
    text: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one job is not running, or how it runs or ended; the most important reason first."""

    id: UUID
    task: str
    queue: str
    status: JobStatus
    reasons: Sequence[Reason]


def _everything(_owner: str | None) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: jobs it may not see are counted and never named, and so are workers and people."""

    sees: Callable[[str | None], bool] = field(default=_everything)
    """Whether a job of this owner may be named."""
    sees_workers: bool = True
    """Whether hosts, and who paused a queue, may be named."""


def duration(seconds: float) -> str:
    """So long, in the two largest units that matter: "3 d 4 h", "2 min 5 s", "0.4 s"."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}".removesuffix(".0") + " s"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part)


def moment(at: datetime) -> str:
    """A time for people."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def listed(names: Sequence[str], total: int) -> str:
    """The names, and how many more there are."""
    more = total - len(names)
    if not names:
        return ""
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, word: str, *, cap: int | None = None) -> str:
    """ "1 job", "3 jobs", "1,000 or more jobs"."""
    or_more = " or more" if cap is not None and number >= cap else ""
    return f"{number:,}{or_more} {word}{'' if number == 1 else 's'}"
