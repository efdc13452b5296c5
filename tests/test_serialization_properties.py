"""Whatever hypothesis finds: equal and of the same type, or refused; never silently changed."""

import enum
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import GenericAlias
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fastapi_jobs.errors import InvalidArguments
from fastapi_jobs.serialization import ArgumentsCodec


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: float


class Pet(BaseModel):
    name: str
    born: date | None = None


def taking(annotation: Any) -> ArgumentsCodec:
    def function(value): ...  # type: ignore[no-untyped-def]

    function.__annotations__["value"] = annotation
    return ArgumentsCodec("shop.job", function)


def through(annotation: Any, value: object) -> Any:
    codec = taking(annotation)
    text = codec.dump([value], {})
    json.loads(text, parse_constant=pytest.fail)
    args, kwargs = codec.load(text)
    assert args == []
    return kwargs["value"]


def same(one: object, other: object) -> bool:
    """An independent judge: repr shows types, digits, signs and offsets."""
    return type(one) is type(other) and one == other and repr(one) == repr(other)


LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, st.text()),
    (bytes, st.binary()),
    (datetime, st.datetimes(timezones=st.none() | st.just(UTC))),
    (datetime, st.datetimes(timezones=st.timezones())),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Point, st.builds(Point, st.integers(), st.floats(allow_nan=False, allow_infinity=False))),
    (Pet, st.builds(Pet, name=st.text(), born=st.none() | st.dates())),
]
WRAPPERS: list[tuple[Callable[[Any], Any], Callable[[Any], st.SearchStrategy[Any]]]] = [
    (lambda t: t, lambda s: s),
    (lambda t: GenericAlias(list, (t,)), lambda s: st.lists(s, max_size=3)),
    (lambda t: GenericAlias(tuple, (t, ...)), lambda s: st.lists(s, max_size=3).map(tuple)),
    (
        lambda t: GenericAlias(dict, (str, t)),
        lambda s: st.dictionaries(st.text(max_size=5), s, max_size=3),
    ),
    (lambda t: t | None, lambda s: s | st.none()),
]


@pytest.mark.parametrize(("annotation", "values"), LEAVES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_values_of_every_type_in_every_container(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Equal and of the same type, or refused; never silently something else."""
    for _ in range(2):
        wrap, wrapped = data.draw(st.sampled_from(WRAPPERS))
        annotation, values = wrap(annotation), wrapped(values)
    value = data.draw(values)
    try:
        back = through(annotation, value)
    except InvalidArguments:
        refused = True
    else:
        refused = False
        assert alike(value, back)
    assert not refused or may_be_refused(value)


def may_be_refused(value: object) -> bool:
    """Offsets with seconds, of times before zones were agreed on, and a naive repeated hour."""
    return "fold=1" in repr(value) or "ZoneInfo" in repr(value)


def alike(value: Any, back: Any) -> bool:
    match value:
        case datetime():
            return bool(value.isoformat() == back.isoformat())
        case list() | tuple():
            return type(value) is type(back) and all(map(alike, value, back))
        case dict():
            return value.keys() == back.keys() and all(alike(value[k], back[k]) for k in value)
    return same(value, back)


ANYTHING = st.recursive(
    st.one_of(*(values for _, values in LEAVES), st.none(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(value=ANYTHING, annotation=st.sampled_from([Any, *(one for one, _ in LEAVES), int | str]))
def test_anything_given_for_anything(value: object, annotation: Any) -> None:
    """Whatever is accepted comes back; an int for a float is the only change."""
    try:
        back = through(annotation, value)
    except InvalidArguments:
        return
    assert alike(value, back) or (type(value) is int and annotation is float and value == back)
