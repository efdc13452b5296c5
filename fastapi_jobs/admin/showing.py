"""How values look on the pages: times, durations, ids, JSON, and the addresses of our files."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from pydantic_core import from_json, to_json

from fastapi_jobs.admin.visit import Site
from fastapi_jobs.clock import utc_now
from fastapi_jobs.status import JobStatus

STOCK_VERSION = version("sqladmin")
LONGEST = 20_000
"""Characters of one text on a page; the rest is cut with a mark."""

STATUS_ICONS = {
    JobStatus.BLOCKED: "lock",
    JobStatus.SCHEDULED: "clock",
    JobStatus.QUEUED: "dots",
    JobStatus.RUNNING: "player-play",
    JobStatus.SUCCEEDED: "check",
    JobStatus.FAILED: "alert-triangle",
    JobStatus.CANCELLED: "ban",
}
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def add_to(environment: Environment, site: Site) -> None:
    """Give the templates of one site their words."""

    @pass_context
    def url(context: Context, path: str, **query: Any) -> str:
        return site.url(context["request"], path, query)

    @pass_context
    def static(context: Context, name: str) -> str:
        return site.url(context["request"], f"/jobs-static/{name}", {"v": _digest(name)})

    @pass_context
    def stock(context: Context, name: str) -> str:
        return site.url(context["request"], f"/statics/{name}", {"v": STOCK_VERSION})

    environment.globals.update(
        url=url, static=static, stock=stock, status_icons=STATUS_ICONS, statuses=list(JobStatus)
    )
    environment.filters.update(
        ago=ago, moment=moment, duration=duration, short_id=short_id, pretty=pretty, count=count
    )


@cache
def _digest(name: str) -> str:
    content = (Path(__file__).parent / "static" / name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]


def _aware(when: datetime) -> datetime:
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def ago(when: datetime | None) -> Markup:
    """ "3 min ago" or "in 2 h", with the exact time on hover."""
    if when is None:
        return Markup("–")
    seconds = (utc_now() - _aware(when)).total_seconds()
    text = "now" if abs(seconds) < 1 else f"{_coarse(abs(seconds))} ago"
    if seconds <= -1:
        text = f"in {_coarse(-seconds)}"
    return _time(when, text)


def moment(when: datetime | None) -> Markup:
    """The exact time, in UTC."""
    return Markup("–") if when is None else _time(when, f"{_aware(when):%Y-%m-%d %H:%M:%S}")


def _time(when: datetime, text: str) -> Markup:
    exact = _aware(when).astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(), f"{exact:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC", text
    )


def _coarse(seconds: float) -> str:
    for size, unit in _STEPS:
        if seconds >= size:
            return f"{int(seconds / size)} {unit}"
    return "0 s"


def duration(seconds: float | None) -> str:
    """Two units at most: "850 ms", "12.3 s", "4 min 5 s", "2 h 10 min"."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for (size, unit), (smaller, small_unit) in pairwise(_STEPS):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def short_id(job_id: UUID) -> str:
    """The end of an id: of a time-ordered one, the beginning is the same for a whole minute."""
    return f"…{str(job_id)[-8:]}"


def pretty(value: object, limit: int = LONGEST) -> Markup:
    """JSON, indented; a text is taken for JSON."""
    if value is None:
        return Markup("–")
    if isinstance(value, str | bytes):
        try:
            value = from_json(value)
        except ValueError:
            return Markup(escape(_cut(str(value), limit)))
    text = to_json(value, indent=2, fallback=repr).decode()
    return Markup(escape(_cut(text, limit)))


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n… {len(text) - limit:,} characters more"


def count(value: int, cap: int | None = None) -> str:
    """A number with its thousands; "10,000+" where counting stopped at `cap`."""
    return f"{value:,}+" if cap is not None and value >= cap else f"{value:,}"


def progress_of(text: str | None) -> Mapping[str, Any] | None:
    """The progress of a job, from its column."""
    return None if text is None else from_json(text)
