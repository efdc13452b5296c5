"""How many jobs ended when, in equal steps up to now: for a chart, and for a table beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi_jobs.status import FINAL, JobStatus

ENDS = tuple(each for each in JobStatus if each in FINAL)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Span:
    """How far back a chart goes, and in which steps."""

    key: str
    title: str
    step: timedelta
    steps: int
    each: str
    """A step, in words."""


SPANS = {
    each.key: each
    for each in (
        Span("1h", "Last hour", MINUTE, 60, "minute"),
        Span("24h", "Last 24 hours", timedelta(minutes=15), 96, "15 minutes"),
    )
}


@dataclass(frozen=True, slots=True)
class Throughput:
    """What ended in each step, the oldest first; the last step is not over yet."""

    span: Span
    starts: Sequence[datetime]
    ended: Mapping[JobStatus, Sequence[int]]

    @property
    def totals(self) -> Mapping[JobStatus, int]:
        """What ended in all of them."""
        return {status: sum(counts) for status, counts in self.ended.items()}

    @property
    def rows(self) -> list[tuple[datetime, list[int]]]:
        """For the table: the newest first, without the steps in which nothing ended."""
        rows = [(start, [each[n] for each in self.ended.values()]) for n, start in self._numbered]
        return [(start, counts) for start, counts in reversed(rows) if any(counts)]

    @property
    def _numbered(self) -> list[tuple[int, datetime]]:
        return list(enumerate(self.starts))

    @property
    def data(self) -> dict[str, Any]:
        """For the chart: seconds since 1970, and a series for each outcome."""
        return {
            "step": self.span.step.total_seconds(),
            "starts": [each.timestamp() for each in self.starts],
            "ended": {status.value: list(counts) for status, counts in self.ended.items()},
        }


def throughput(
    minutes: Mapping[datetime, Counter[JobStatus]], span: Span, now: datetime
) -> Throughput:
    """The ends of each minute, summed up in the steps of a span."""
    seconds = span.step.total_seconds()
    last = int(now.timestamp() // seconds)
    first = last - span.steps + 1
    ended = {status: [0] * span.steps for status in ENDS}
    for minute, counts in minutes.items():
        place = int(minute.timestamp() // seconds) - first
        if 0 <= place < span.steps:
            for status in ENDS:
                ended[status][place] += counts[status]
    starts = [datetime.fromtimestamp((first + n) * seconds, UTC) for n in range(span.steps)]
    return Throughput(span, starts, ended)


def sparkline(minutes: Mapping[datetime, int], now: datetime, *, steps: int = 60) -> list[int]:
    """How many ended in each of the last minutes, the oldest first."""
    this = now.replace(second=0, microsecond=0)
    return [minutes.get(this - n * MINUTE, 0) for n in reversed(range(steps))]
