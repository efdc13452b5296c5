"""The list of jobs as a file, written while it is sent: its length costs no memory."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json
from starlette.concurrency import run_in_threadpool

from fastapi_jobs.admin.redaction import shown_arguments, shown_result
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.store.export import export
from fastapi_jobs.store.store import Store

COLUMNS = (
    *("id", "task", "queue", "status", "priority", "attempt", "created_at", "run_after"),
    *("started_at", "finished_at", "owner", "tags", "progress", "error", "reason"),
    *("args", "result"),
)
"""Secret arguments and results are hidden as on the pages."""

FROM_JSON = ("tags", "progress", "result")
CHUNK = 50
"""Jobs in memory at a time: each may bring a megabyte."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""With one of these, a cell is a formula to a spreadsheet; some take their wide forms, too."""

Write = Callable[[Sequence[JobRecord]], bytes]


def as_csv(records: Iterable[JobRecord]) -> bytes:
    """Rows for a spreadsheet. What would be a formula there begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    for each in records:
        writer.writerow([_cell(value) for value in _values(each).values()])
    return text.getvalue().encode()


def csv_head() -> bytes:
    """The first row, behind the mark by which spreadsheets know UTF-8."""
    return "\ufeff".encode() + ",".join(COLUMNS).encode() + b"\r\n"


def as_json_lines(records: Iterable[JobRecord]) -> bytes:
    """One JSON object a line."""
    return b"".join(to_json(_values(each)) + b"\n" for each in records)


async def written(
    store: Store, which: JobFilter, write: Write, head: bytes = b""
) -> AsyncIterator[bytes]:
    """The jobs that a filter names, newest first, a few at a time."""
    yield head
    async for some in export(store, which, chunk=CHUNK, newest=True):
        yield await run_in_threadpool(write, some)


def _values(record: JobRecord) -> Mapping[str, Any]:
    found: dict[str, Any] = {name: getattr(record, name) for name in COLUMNS}
    found["result"] = shown_result(record.task, record.result)
    for name in FROM_JSON:
        found[name] = None if found[name] is None else from_json(found[name])
    found["args"] = shown_arguments(record.task, record.args)
    return {name: _timed(value) for name, value in found.items()}


def _timed(value: object) -> object:
    if not isinstance(value, datetime):
        return value
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat()


def _cell(value: object) -> object:
    if value is None or isinstance(value, int):
        return value
    text = to_json(value).decode() if isinstance(value, list | dict) else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
