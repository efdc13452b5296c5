"""The rule that each kind of setting obeys, and the sentence that says so.

A rule turns a raw value (of TOML, a variable, a secret's file or a keyword) into the typed one.
It takes typed values too, so that settings can be checked again after an override.
"""

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from math import isfinite

from pydantic import BeforeValidator

from fastapi_jobs.errors import did_you_mean

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])?")


class RuleBroken(ValueError):
    """A value that breaks its rule; `rule` and `cure` are full sentences."""

    def __init__(self, rule: str, cure: str = "") -> None:
        self.rule, self.cure = rule, cure.strip()
        super().__init__(f"{rule} {cure}".strip())


def whole(
    least: int, most: int | None = None, *, zero_is: Callable[[], int | None] | None = None
) -> BeforeValidator:
    """A whole number within bounds; `zero_is` computes what 0 stands for, when not itself."""
    upto = f"from {least:,} to {most:,}" if most is not None else f"of at least {least:,}"
    rule = f"must be a whole number {upto}{_or_none(zero_is)}."

    def check(value: object) -> int | None:
        if zero_is is not None and is_none(value):
            return zero_is()
        number = _number(value)
        if number is None or number != int(number) or number < least:
            raise RuleBroken(rule)
        if most is not None and number > most:
            raise RuleBroken(rule)
        return int(number)

    return BeforeValidator(check)


def seconds(*, may_be_zero: bool = False, may_be_none: bool = False) -> BeforeValidator:
    """A number of seconds, as float."""
    least = "not below 0" if may_be_zero else "above 0"
    rule = f"must be a number of seconds {least}{', or 0 for none' if may_be_none else ''}."

    def check(value: object) -> float | None:
        if may_be_none and is_none(value):
            return None
        number = value.total_seconds() if isinstance(value, timedelta) else _number(value)
        if number is None or number < 0 or (number == 0 and not may_be_zero):
            raise RuleBroken(rule)
        return float(number)

    return BeforeValidator(check)


def nothing() -> None:
    """What 0 stands for where a key may be none."""


def automatic() -> int:
    """What 0 stands for where whoever reads the key decides by what it sees."""
    return 0


def cores() -> int:
    """What 0 stands for where a key counts workers: the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choice(
    *allowed: str, may_be_none: bool = False, fold: Callable[[str], str] = str.lower
) -> BeforeValidator:
    """One of a few words, in any case."""
    none = ', or "" for none' if may_be_none else ""

    def check(value: object) -> str | None:
        if may_be_none and is_none(value):
            return None
        if not isinstance(value, str) or fold(value.strip()) not in allowed:
            hint = did_you_mean(fold(str(value)), allowed)
            raise RuleBroken(f"must be {one_of(allowed)}{none}.", hint)
        return fold(value.strip())

    return BeforeValidator(check)


def check_flag(value: object) -> bool:
    """true or false; 1 and 0 as well, which is how variables are often written."""
    match str(value).strip().lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise RuleBroken("must be true or false.")


def check_migrate(value: object) -> str | bool:
    """ "auto", true or false."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    try:
        return check_flag(value)
    except RuleBroken:
        raise RuleBroken('must be "auto", true or false.') from None


def check_text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise RuleBroken("must be a text.", "Put it in quotes.")
    return value


def check_duration(value: object) -> timedelta | None:
    """How long something is kept: "7d", "12h", "30m", "45s" or seconds; none is for ever."""
    if isinstance(value, timedelta) and value > timedelta(0):
        return value
    if is_none(value) or value == timedelta(0):
        return None
    found = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip().lower())
    try:
        if found is not None:
            return timedelta(seconds=float(found[1]) * _UNITS[found[2] or "s"]) or None
    except OverflowError:
        pass
    raise RuleBroken(
        'must be a time such as "7d", "12h", "30m", "45s" or a number of seconds, '
        "or 0 to keep for ever."
    )


def one_of(words: Iterable[str]) -> str:
    """The words as "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _or_none(zero_is: Callable[[], int | None] | None) -> str:
    if zero_is is None:
        return ""
    words = {nothing: "none", cores: "one per core", automatic: "automatic"}
    return f", or 0 for {words[zero_is]}"


def is_none(value: object) -> bool:
    """True for what says none: nothing, an empty text, or 0."""
    if value is None or value == "":
        return True
    return value == 0 and isinstance(value, int | float | str) and not isinstance(value, bool)


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return number if isfinite(number) else None
