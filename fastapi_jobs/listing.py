"""What is asked of a list: which jobs, and how many at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi_jobs.errors import InvalidQuery, did_you_mean
from fastapi_jobs.status import JobAction, JobStatus, legal_actions

MOST = 1000
"""How many items one page may have."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows: all conditions at once; what is None or empty does not restrict it.

    `task` is a task's name. Times are aware; `created_after` is inside, `created_before` is not.

    Raises:
        InvalidQuery: no job can be like this.
    """

    statuses: Collection[JobStatus] = ()
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    owner: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "statuses", _statuses(self.statuses))
        for name in ("task", "queue", "tag", "owner"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidQuery(name, value, f"give the name of the {name}, a str.")
        for name in ("created_after", "created_before"):
            _check_moment(name, getattr(self, name))

    def legal_for(self, action: JobAction) -> "JobFilter | None":
        """Those of the jobs whose status allows `action`; None when no status of theirs does."""
        wanted = self.statuses or JobStatus
        legal = [each for each in wanted if action in legal_actions(each)]
        return replace(self, statuses=legal) if legal else None


def _statuses(given: Collection[JobStatus]) -> tuple[JobStatus, ...]:
    if isinstance(given, str):
        raise InvalidQuery("statuses", given, f"give a collection, such as [{given!r}].")
    known = [each.value for each in JobStatus]
    for each in given:
        if each not in known:
            hint = did_you_mean(str(each), known)
            raise InvalidQuery("statuses", each, f"the statuses are {', '.join(known)}.{hint}")
    return tuple(JobStatus(each) for each in given)


def _check_moment(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidQuery(name, value, "give an aware datetime, such as datetime.now(UTC).")
    if not 1970 <= value.year < 9999:
        raise InvalidQuery(name, value, "give a time between the years 1970 and 9998.")


def checked_limit(limit: int) -> int:
    """How many items a page may have.

    Raises:
        InvalidQuery: none, or more than one page may hold.
    """
    if not 1 <= limit <= MOST:
        raise InvalidQuery("limit", limit, f"give 1 to {MOST:,}.")
    return limit


EVERY_JOB = JobFilter()
