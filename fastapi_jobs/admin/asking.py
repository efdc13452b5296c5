"""What a person asks of the list of jobs, read from an address; what makes no sense is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from string import hexdigits
from typing import Any
from uuid import UUID

from starlette.datastructures import ImmutableMultiDict

from fastapi_jobs.admin.redaction import secret_parameters
from fastapi_jobs.clock import uuid7
from fastapi_jobs.errors import InvalidCursor, did_you_mean
from fastapi_jobs.listing import LEAST_DIGITS, MOST_TEXT, JobFilter
from fastapi_jobs.registry import registry
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
    is_guess: bool = False
    """Whether what was searched was only taken for an id, or for an argument, by its look."""
    until: datetime | None = None
    """Where a change was asked for: jobs that came in later stay as they are."""

    @property
    def whole_id(self) -> UUID | None:
        """The one job that was looked for, by all of its id."""
        digits = self.which.id_prefix
        return UUID(digits) if digits is not None and len(digits) == 32 else None

    @property
    def words(self) -> list[tuple[str, str]]:
        """The filters for a person: a name and a value each."""
        which = self.which
        told = [("status", ", ".join(which.statuses))]
        told += [(name, getattr(which, name) or "") for name in WORDS]
        told += [("worker", str(which.worker or "")), ("id", which.id_prefix or "")]
        told += [("arguments", which.text or "")]
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
        id_prefix, text = self._search()
        which = JobFilter(
            statuses,
            *(task, queue, tag, owner),
            created_after=low,
            created_before=high,
            worker=self._worker(),
            id_prefix=id_prefix,
            text=text,
            searched=None if text is None else _searchable(),
        )
        if _is_backwards(which):
            self._notices.append("The time from is not before the other: no job can match.")
        return Asked(
            which,
            self._query,
            self._notices,
            before=self._cursor("before"),
            after=self._cursor("after"),
            is_guess=bool(id_prefix or text) and "in" not in self._query,
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

    def _worker(self) -> UUID | None:
        value = self._text("worker")
        try:
            worker = UUID(value) if value else None
        except ValueError:
            self._ignore("Worker", value, "give its whole id.")
            return None
        if worker is not None:
            self._query["worker"] = str(worker)
        return worker

    def _search(self) -> tuple[str | None, str | None]:
        """How an id begins, or a text among the arguments: as was said, or else by its look."""
        value, place = self._text("q"), self._text("in")
        if not value:
            return None, None
        if len(value) > MOST_TEXT or not value.isprintable():
            self._ignore("The search for", value, f"give {MOST_TEXT} characters at most.")
            return None, None
        digits = value.replace("-", "").lower()
        could_be_id = LEAST_DIGITS <= len(digits) <= 32 and not set(digits) - set(hexdigits)
        if place == "id" and not could_be_id:
            self._ignore("The id", value, "ids have hexadecimal digits; give 4 to 32 of them.")
            return None, None
        self._query["q"] = value
        if place in ("id", "args"):
            self._query["in"] = place
        # Ids begin with the time: all of a generation's with the same two digits.
        looks_like_id = could_be_id and (len(digits) == 32 or digits[:2] == uuid7().hex[:2])
        is_id = place == "id" or (place != "args" and looks_like_id)
        return (digits, None) if is_id else (None, value)

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


def _searchable() -> list[str]:
    """The tasks without secret arguments: by searching, one could find out any of them."""
    return sorted(name for name in registry if not secret_parameters(name))


def _is_backwards(which: JobFilter) -> bool:
    low, high = which.created_after, which.created_before
    return low is not None and high is not None and low >= high
