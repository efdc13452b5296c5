"""The lifecycle log: one line for each thing that happens to a job, to stdout or a file."""

import json
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import SettingsError, SettingsProblem
from fastapi_jobs.signals import Event, EventKind, Observer

_LEVELS = {
    EventKind.FAILED: logging.ERROR,
    EventKind.RETRYING: logging.WARNING,
    EventKind.CRASHED: logging.WARNING,
    EventKind.RELEASED: logging.WARNING,
}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The event's fields, without those that are empty."""
        fields: dict[str, Any] = getattr(record, "event", {"message": record.getMessage()})
        kept = {key: value for key, value in fields.items() if value is not None}
        return json.dumps({"level": record.levelname, **kept}, default=str)


def event_fields(event: Event) -> dict[str, Any]:
    """An event as plain values."""
    return {
        "at": event.at.isoformat(),
        "event": event.kind.value,
        "job_id": str(event.job_id),
        "task": event.task,
        "queue": event.queue,
        "attempt": event.attempt or None,
        "seconds": None if event.seconds is None else round(event.seconds, 6),
        "error": event.error,
        "reason": event.reason,
    }


def event_line(event: Event) -> str:
    """An event as a sentence for people."""
    parts = [f"job {event.job_id} {event.kind.value}: {event.task}"]
    if event.attempt > 1:
        parts.append(f"attempt {event.attempt}")
    if event.seconds is not None:
        parts.append(f"after {event.seconds:.3f} s")
    parts.extend(text for text in (event.error, event.reason) if text)
    return ", ".join(parts)


def lifecycle_log(settings: Settings) -> tuple[Observer, Callable[[], None]]:
    """The observer that writes the log the settings ask for, and what closes it."""
    handler: logging.Handler
    if settings.log_file is None:
        handler = logging.StreamHandler(sys.stdout)
    else:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(settings.log_file, encoding="utf-8", delay=True)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else text)
    threshold = logging.getLevelNamesMapping()[settings.log_level]

    def observe(event: Event) -> None:
        level = _LEVELS.get(event.kind, logging.INFO)
        if level >= threshold:
            record = logging.LogRecord(
                "fastapi_jobs.lifecycle", level, "", 0, event_line(event), None, None
            )
            record.event = event_fields(event)
            handler.emit(record)

    return observe, handler.close


def load_observers(settings: Settings) -> list[Observer]:
    """The callables that `observers` names.

    Raises:
        SettingsError: one of them cannot be imported or called.
    """
    found: list[Observer] = []
    problems = []
    for path in settings.observers:
        module, _, name = path.replace(":", ".").rpartition(".")
        try:
            observer = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            problems.append(_problem(settings, path, f"it cannot be imported: {error}."))
            continue
        if callable(observer):
            found.append(observer)
        else:
            problems.append(_problem(settings, path, "it is not callable with one event."))
    if problems:
        raise SettingsError(problems)
    return found


def _problem(settings: Settings, path: str, why: str) -> SettingsProblem:
    return SettingsProblem(
        "observers", settings.origins.get("observers", "settings"), repr(path), why
    )
