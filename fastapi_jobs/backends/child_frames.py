"""What is in the frames of one call: the call itself, and the report that answers it.

Both are JSON lists of plain values in the order of the fields, which parent and child have from
the same code: names, and copies of what the dataclasses hold, would cost more than the journey.
"""

from dataclasses import fields
from operator import attrgetter
from types import GenericAlias
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import to_json

from fastapi_jobs.runner import Call, Caps, Report
from fastapi_jobs.store.rows import Claimed


class Order(NamedTuple):
    """A call as its child gets it."""

    claimed: Claimed
    module: str
    """Where the task is declared."""
    caps: Caps


def _row_of(*types: type) -> Any:
    return GenericAlias(tuple, types)


_values_of_claimed = attrgetter(*(each.name for each in fields(Claimed)))
_values_of_report = attrgetter(*(each.name for each in fields(Report)))
_claimed_row = _row_of(*get_type_hints(Claimed).values())
_call = TypeAdapter(_row_of(_claimed_row, str, int, int)).validator
_report = TypeAdapter(_row_of(*get_type_hints(Report).values())).validator


def call_frame(call: Call) -> bytes:
    """What a child must know to carry out a call."""
    values, caps = _values_of_claimed(call.claimed), call.caps
    return to_json((values, call.definition.module, caps.result, caps.error))


def read_call(frame: bytes) -> Order:
    """The call of a frame."""
    values, module, result, error = _call.validate_json(frame)
    return Order(Claimed(*values), module, Caps(result, error))


def report_frame(report: Report) -> bytes:
    """How a call ended."""
    return to_json(_values_of_report(report))


def read_report(frame: bytes) -> Report:
    """The report of a frame."""
    return Report(*_report.validate_json(frame))
