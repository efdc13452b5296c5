"""One page of the list of jobs, with the way to what is newer and older; and how a row looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from fastapi_jobs.admin.asking import Asked
from fastapi_jobs.clock import utc_now
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus, legal_actions
from fastapi_jobs.store import queries
from fastapi_jobs.store.queries import make_cursor
from fastapi_jobs.store.store import Store

LIMIT = 50
LONGEST_LINE = 160


@dataclass(frozen=True, slots=True)
class Listed:
    """One page, newest first."""

    items: Sequence[JobRecord]
    older: str | None
    newer: str | None
    window_from: datetime | None
    """Where a text is searched: in no older jobs; None: in all."""


async def list_page(store: Store, asked: Asked) -> Listed:
    """The page that is asked for; where less than a page is newer, the newest one."""
    if asked.after is not None:
        page = await store.read(
            queries.list_jobs, asked.which, limit=LIMIT, cursor=asked.after, newest=False
        )
        if page.next_cursor is not None:
            items = page.items[::-1]
            return Listed(items, _cursor_of(items[-1:]), page.next_cursor, page.window_from)
    before = None if asked.after is not None else asked.before
    page = await store.read(queries.list_jobs, asked.which, limit=LIMIT, cursor=before)
    newer = None if before is None else _cursor_of(page.items[:1])
    return Listed(page.items, page.next_cursor, newer, page.window_from)


def _cursor_of(items: Sequence[JobRecord]) -> str | None:
    return make_cursor(items[0].id) if items else None


def took(job: JobRecord) -> float | None:
    """For how many seconds the latest attempt ran, or runs by now."""
    if job.started_at is None:
        return None
    end = job.finished_at or (utc_now() if job.status == JobStatus.RUNNING else None)
    if end is None:
        return None
    return max((_aware(end) - _aware(job.started_at)).total_seconds(), 0)


def _aware(when: datetime) -> datetime:
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def told(job: JobRecord) -> str:
    """The first line of what there is to say: of the error, or of the reason."""
    text = job.error if job.status == JobStatus.FAILED else job.reason or job.error
    line = next((each.strip() for each in (text or "").splitlines() if each.strip()), "")
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def progress(job: JobRecord) -> dict[str, Any] | None:
    """How far a running job says it is: `done`, and mostly `total` and `message`."""
    if job.progress is None or job.status != JobStatus.RUNNING:
        return None
    found: dict[str, Any] = from_json(job.progress)
    return found


def actions(job: JobRecord) -> str:
    """What the status allows, as words."""
    return " ".join(legal_actions(JobStatus(job.status)))
