"""Enqueuing by hand, and the options that a person may give: judged as those of any enqueue."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from fastapi_jobs.admin.visit import Site
from fastapi_jobs.api.access import Action
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf.rules import RuleBroken, check_duration
from fastapi_jobs.enqueueing import announce, job_from_text
from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.options import checked_moment, checked_priority, checked_queue
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.store.rows import Inserted
from fastapi_jobs.using import Using

MOMENT = 'give a time from now, such as "30m" or "2h", or one in UTC: "2030-01-31 08:00".'


def read_moment(text: str) -> datetime:
    """When something is to run, from what a person typed; no time zone means UTC.

    Raises:
        InvalidOption
    """
    now = utc_now()
    try:
        given = datetime.fromisoformat(text)
        return checked_moment(
            "run_after", given if given.tzinfo else given.replace(tzinfo=UTC), now
        )
    except ValueError:
        pass
    try:
        span = check_duration(text)
    except RuleBroken:
        raise InvalidOption("run_after", text, MOMENT) from None
    return checked_moment("run_after", timedelta(0) if span is None else span, now)


def _read_priority(text: str) -> int:
    return checked_priority(int(text) if text.removeprefix("-").isdecimal() else text)


_READERS: dict[str, Callable[[str], Any]] = {
    "queue": checked_queue,
    "priority": _read_priority,
    "run_after": read_moment,
}
OPTIONS = tuple(_READERS)


def typed_options(form: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the fields of the options."""
    return {name: str(form.get(name, "")).strip() for name in OPTIONS}


def read_options(typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The options that were given, and the messages of those that break their rules."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in typed.items():
        try:
            if text:
                values[name] = _READERS[name](text)
        except InvalidOption as error:
            errors[name] = str(error)
    return values, errors


async def place(
    site: Site,
    request: Request,
    definition: TaskDefinition,
    text: str,
    options: Mapping[str, Any],
    **details: Any,
) -> Inserted:
    """Store a job of validated arguments, note who did it, and let it run.

    Raises:
        EnqueueError: nothing was stored.
    """
    runtime = site.runtime
    job = job_from_text(runtime, definition, Using(runtime=runtime).changed(options), text)
    [inserted] = await site.write(
        request,
        runtime.insertion_of([job]),
        Action.CREATE,
        str(job.id),
        task=definition.name,
        **details,
    )
    announce(runtime, [job], [inserted])
    if inserted.is_new and runtime.is_immediate(job):
        await runtime.run_now(job)
    return inserted
