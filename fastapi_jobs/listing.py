"""What is asked of a list: which jobs, and how many at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from fastapi_jobs.errors import InvalidQuery, did_you_mean
from fastapi_jobs.status import JobAction, JobStatus, legal_actions

MOST = 1000
"""How many items one page may have."""

LEAST_DIGITS = 4
"""With fewer of them an id's beginning says nothing but the decade."""

MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a list shows: all conditions at once; what is None or empty does not restrict it.

    `task` is a task's name. Times are aware; `created_after` is inside, `created_before` is not.
    `worker` is the process that runs a job, or ran it last; `id_prefix` how its id begins, by 4
    hexadecimal digits at least. `text` is searched in the arguments of the newest jobs alone.

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
    worker: UUID | None = None
    id_prefix: str | None = None
    text: str | None = None
    searched: Collection[str] | None = None
    """The tasks in whose jobs a text is searched, where others have secret arguments; None: all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "statuses", _statuses(self.statuses))
        for name in ("task", "queue", "tag", "owner"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise InvalidQuery(name, value, f"give the name of the {name}, a str.")
        for name in ("created_after", "created_before"):
            _check_moment(name, getattr(self, name))
        if self.worker is not None and not isinstance(self.worker, UUID):
            raise InvalidQuery("worker", self.worker, "give the id of the worker, a UUID.")
        if self.id_prefix is not None:
            object.__setattr__(self, "id_prefix", _digits(self.id_prefix))
        if self.text is not None:
            _check_text(self.text)

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


def _digits(prefix: object) -> str:
    digits = prefix.replace("-", "").lower() if isinstance(prefix, str) else ""
    if not LEAST_DIGITS <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        rule = f"give {LEAST_DIGITS} to 32 hexadecimal digits, with or without dashes."
        raise InvalidQuery("id_prefix", prefix, rule)
    return digits


def _check_text(text: object) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= MOST_TEXT or "\0" in text:
        raise InvalidQuery("text", text, f"give a str of 1 to {MOST_TEXT} characters.")


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
