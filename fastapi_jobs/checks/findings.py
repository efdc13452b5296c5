"""One thing that `fastapi-jobs check` has to say."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """A sentence about one thing. `code` is stable, for scripts."""

    level: Level
    code: str
    text: str


def ok(code: str, text: str) -> Finding:
    """All is well here."""
    return Finding(Level.OK, code, text)


def note(code: str, text: str) -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, code, text)


def warning(code: str, text: str) -> Finding:
    """This will surprise somebody."""
    return Finding(Level.WARNING, code, text)


def error(code: str, text: str) -> Finding:
    """Jobs do not run, or not as promised."""
    return Finding(Level.ERROR, code, text)
