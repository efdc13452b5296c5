"""The lines that attempts wrote, as values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from fastapi_jobs.models import LogRecord


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """One line that a task logged, by `ctx.log` or through `logging`.

    `number` counts the lines of its attempt from 1; `at` is aware UTC. `fields` that were too long
    to be kept whole are `{"cut": <the beginning of their JSON>}`.
    """

    attempt: int
    number: int
    at: datetime
    level: str
    logger: str
    message: str
    fields: Mapping[str, Any]


def logged_line(record: LogRecord) -> LoggedLine:
    """The public value of a record."""
    return LoggedLine(
        attempt=record.attempt,
        number=record.number,
        at=record.at,
        level=record.level,
        logger=record.logger,
        message=record.message,
        fields=_fields(record.fields) if record.fields else {},
    )


def _fields(text: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = from_json(text)
    except ValueError:  # too long ones are stored cut
        return {"cut": text}
    return fields
