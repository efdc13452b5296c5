"""The options of a task, and their rules."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi_jobs.errors import InvalidOption, did_you_mean

PRIORITIES = range(-100, 101)
QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")
BACKENDS = ("asyncio", "thread", "process", "celery", "immediate")
MOST_TAGS = 20
DEFAULT_QUEUE = "default"
BEYOND = "that moment is beyond the calendar."


@dataclass(frozen=True, slots=True)
class Unique:
    """Only one job of a key at a time: the scope is (task, key), true over all processes.

    `key` is a function of the task's arguments, by default all of them. `during` says how long a
    job holds its key: until it is `finished`, until it starts (`queued`), or for a timedelta.
    """

    key: Callable[..., str] | None = None
    during: Literal["unfinished", "queued"] | timedelta = "unfinished"
    on_conflict: Literal["existing", "reject", "replace"] = "existing"

    def __post_init__(self) -> None:
        if isinstance(self.during, timedelta):
            if self.during <= timedelta(0):
                raise InvalidOption("unique during", self.during, "give a positive timedelta.")
        elif self.during not in ("unfinished", "queued"):
            rule = 'give "unfinished", "queued" or a timedelta.'
            raise InvalidOption("unique during", self.during, rule)
        if self.on_conflict not in ("existing", "reject", "replace"):
            rule = 'give "existing", "reject" or "replace".'
            raise InvalidOption("unique on_conflict", self.on_conflict, rule)


def checked_priority(value: Any) -> int:
    """A priority in its range.

    Raises:
        InvalidOption
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in PRIORITIES:
        near = ""
        if isinstance(value, int) and not isinstance(value, bool):
            near = f" The nearest is {max(min(value, PRIORITIES[-1]), PRIORITIES[0])}."
        raise InvalidOption(
            "priority", value, f"give a whole number from -100 to 100; larger runs first.{near}"
        )
    return value


def checked_queue(value: Any) -> str:
    """A queue's name.

    Raises:
        InvalidOption
    """
    if not isinstance(value, str) or not QUEUE_NAME.fullmatch(value):
        rule = "a queue name has 1 to 100 letters, digits, '_', '-' or '.'."
        raise InvalidOption("queue", value, rule)
    return value


def checked_backend(value: Any) -> str:
    """A backend's name, or the dotted path of one of your own.

    Raises:
        InvalidOption
    """
    if isinstance(value, str) and (value in BACKENDS or "." in value or ":" in value):
        return value
    hint = did_you_mean(str(value), BACKENDS)
    raise InvalidOption(
        "backend", value, f"give one of {', '.join(BACKENDS)}, or a dotted path.{hint}"
    )


def checked_seconds(option: str, value: Any) -> float:
    """A positive number of seconds, from a number or a timedelta.

    Raises:
        InvalidOption
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidOption(option, value, "give seconds or a timedelta.")
    if not seconds > 0 or math.isinf(seconds):
        raise InvalidOption(option, value, "give more than 0 seconds, or leave it out.")
    return float(seconds)


def checked_moment(option: str, value: Any, now: datetime) -> datetime:
    """A point in time, from an aware datetime, a timedelta or seconds from now.

    Raises:
        InvalidOption
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            rule = (
                "the datetime is naive, so its moment is not known. "
                f"Give it a time zone: {value!r}.replace(tzinfo=UTC), or pass a timedelta."
            )
            raise InvalidOption(option, value, rule)
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise InvalidOption(option, value, BEYOND) from error
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise InvalidOption(option, value, "give an aware datetime, a timedelta or seconds.")
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    try:
        return now + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise InvalidOption(option, value, BEYOND) from error


def checked_tags(value: Any) -> tuple[str, ...]:
    """Tags: short words, at most 20, in their order, none twice.

    Raises:
        InvalidOption
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidOption("tags", value, 'give a list of words, such as ["mail", "vip"].')
    tags = tuple(dict.fromkeys(value))
    for tag in tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 100 or not tag.isprintable():
            raise InvalidOption("tags", tag, "a tag has 1 to 100 printable characters.")
    if len(tags) > MOST_TAGS:
        raise InvalidOption("tags", f"{len(tags)} tags", f"a job has at most {MOST_TAGS}.")
    return tags


def checked_names(option: str, value: Any) -> tuple[str, ...]:
    """Names of parameters.

    Raises:
        InvalidOption
    """
    names = (None,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not all(isinstance(each, str) for each in names):
        raise InvalidOption(option, value, 'give the names of parameters, such as ["password"].')
    return names


def checked_count(option: str, value: Any, *, least: int) -> int:
    """A whole number from `least`.

    Raises:
        InvalidOption
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOption(option, value, f"give a whole number from {least}.")
    return value
