"""What a person asks of the list of jobs, read from an address; what makes no sense is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import ImmutableMultiDict

from fastapi_jobs.errors import InvalidCursor, did_you_mean
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.queries import read_cursor

LONGEST_WORD = 200
WORDS = ("task", "queue", "tag", "owner")
MOMENTS = {"created_after": "Time from", "created_before": "Time before", "until": "Time until"}

Given = ImmutableMultiDict[str, Any]


@dataclass(slots=True)
class Asked:
    """Which jobs are asked for, and where in their list."""

    which: JobFilter
    query: Mapping[str, Any]
    """The filters as an address has them, without those that made no sense."""
    notices: list[str] = field(default_factory=list)
    """A sentence for each part that was left out."""
    before: str | None = None
    """Older jobs than this cursor's."""
    after: str | None = None
    """Newer ones."""
    until: datetime | None = None
    """Where a change was asked for: jobs that came in later stay as they are."""

    @property
    def words(self) -> list[tuple[str, str]]:
        """The filters for a person: a name and a value each."""
        which = self.which
        told = [("status", ", ".join(which.statuses))]
        told += [(name, getattr(which, name) or "") for name in WORDS]
        times = {"from": which.created_after, "before": which.created_before}
        told += [(name, f"{when:%Y-%m-%d %H:%M:%S} UTC") for name, when in times.items() if when]
        return [(name, value) for name, value in told if value]


def read_asked(given: Given) -> Asked:
    """The filters and the cursor of an address or of a form."""
    return _Reader(given).asked()


class _Reader:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._notices: list[str] = []
        self._query: dict[str, Any] = {}

    def asked(self) -> Asked:
        statuses = self._statuses()
        task, queue, tag, owner = [self._word(name) for name in WORDS]
        low, high, until = [self._moment(name) for name in MOMENTS]
        self._query.pop("until", None)
        which = JobFilter(statuses, task, queue, tag, owner, low, high)
        if _is_backwards(which):
            self._notices.append("The time from is not before the other: no job can match.")
        return Asked(
            which,
            self._query,
            self._notices,
            before=self._cursor("before"),
            after=self._cursor("after"),
            until=until,
        )

    def _text(self, name: str) -> str:
        value = self._given.get(name)
        return value.strip() if isinstance(value, str) else ""

    def _ignore(self, name: str, value: str, why: str) -> None:
        cut = value if len(value) <= 40 else f"{value[:40]}…"
        self._notices.append(f"{name} “{cut}” was ignored: {why}")

    def _statuses(self) -> list[JobStatus]:
        found = []
        for each in dict.fromkeys(str(one) for one in self._given.getlist("status") if one):
            if each in set(JobStatus):
                found.append(JobStatus(each))
            else:
                hint = did_you_mean(each, [status.value for status in JobStatus])
                self._ignore("Status", each, f"there is none of this name.{hint}")
        self._query["status"] = [each.value for each in found]
        return found

    def _word(self, name: str) -> str | None:
        value = self._text(name)
        if not value:
            return None
        if len(value) > LONGEST_WORD or not value.isprintable():
            self._ignore(name.capitalize(), value, "none can have this name.")
            return None
        self._query[name] = value
        return value

    def _moment(self, name: str) -> datetime | None:
        value = self._text(name)
        if not value:
            return None
        label = MOMENTS[name]
        try:
            when = datetime.fromisoformat(value)
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        except (ValueError, OverflowError):
            self._ignore(label, value, "give a time such as 2030-01-31T08:00.")
            return None
        if not 1970 <= when.year < 9999:
            self._ignore(label, value, "give a time between the years 1970 and 9998.")
            return None
        self._query[name] = written(when)
        return when

    def _cursor(self, name: str) -> str | None:
        value = self._text(name)
        if not value:
            return None
        try:
            read_cursor(value)
        except InvalidCursor:
            self._notices.append("The place in the list was ignored: its address is broken.")
            return None
        return value


def written(when: datetime) -> str:
    """A time as addresses and the fields of forms have it: in UTC, without saying so."""
    exactness = "milliseconds" if when.microsecond else "seconds"
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=exactness)


def _is_backwards(which: JobFilter) -> bool:
    low, high = which.created_after, which.created_before
    return low is not None and high is not None and low >= high
