"""Where a job stands, and which changes are legal.

Nothing sets a status but the store's named moves, whose WHERE clauses enforce this table.
"""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands. The last three are final; only an explicit retry leaves them."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when nothing but an explicit retry changes the job any more."""
        return self in FINAL


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    RETRY_LATER = "retry_later"
    SNOOZED = "snoozed"
    CRASHED = "crashed"
    RELEASED = "released"


FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
WAITING = frozenset({JobStatus.BLOCKED, JobStatus.SCHEDULED, JobStatus.QUEUED})
UNFINISHED = WAITING | {JobStatus.RUNNING}

BORN = frozenset({JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING})
"""The statuses a new job may have; `running` when its insert is at once its claim."""

MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.BLOCKED: frozenset({JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SCHEDULED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.SCHEDULED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.SCHEDULED}) | FINAL,
    JobStatus.SUCCEEDED: frozenset({JobStatus.QUEUED}),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""From each status, the statuses one move may lead to."""


class JobAction(StrEnum):
    """What a person may ask of one job."""

    CANCEL = "cancel"
    RETRY = "retry"
    EDIT = "edit"
    DELETE = "delete"


def legal_actions(status: JobStatus) -> list[JobAction]:
    """The actions that `status` allows, in the order in which a page shows them."""
    match status:
        case JobStatus.BLOCKED | JobStatus.SCHEDULED | JobStatus.QUEUED:
            return [JobAction.CANCEL, JobAction.EDIT]
        case JobStatus.RUNNING:
            return [JobAction.CANCEL]
        case JobStatus.SUCCEEDED | JobStatus.FAILED | JobStatus.CANCELLED:
            return [JobAction.RETRY, JobAction.DELETE]
