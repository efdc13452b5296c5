"""Tasks that give back what they get, one for each type."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from fastapi_jobs.testing.conformance.both import Both, both


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Mood(StrEnum):
    CALM = "calm"


@dataclass
class Point:
    x: int
    y: float = 0.5
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Segment:
    start: Point
    end: Point | None


class Address(BaseModel):
    street: str
    number: int | None = None


class Person(BaseModel):
    name: str = Field(alias="fullName", default="nobody")
    born: datetime
    addresses: list[Address] = []
    by_colour: dict[Colour, set[int]] = {}


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict, total=False):
    deep: dict[str, list[Decimal]]
    flag: bool


class Case(NamedTuple):
    """A type and a value of it."""

    annotation: Any
    value: Any


EAST = timezone(timedelta(hours=5, minutes=30))

CASES: dict[str, Case] = {
    "none": Case(None, None),
    "true": Case(bool, True),
    "zero": Case(int, 0),
    "big int": Case(int, 2**200 + 1),
    "negative big int": Case(int, -(10**50)),
    "float": Case(float, 0.1 + 0.2),
    "tiny float": Case(float, 5e-324),
    "text": Case(str, 'plain "quoted" \\ text\n\ttab'),
    "empty text": Case(str, ""),
    "unicode": Case(str, "żółw 🐢 \u202e العربية \U0001f469\u200d\U0001f680"),
    "long text": Case(str, "ä" * 20_000),
    "bytes": Case(bytes, bytes(range(256))),
    "any of JSON": Case(Any, {"a": [1, 2.5, None, True, "x", {"b": []}]}),
    "list": Case(list[int], [3, 1, 2]),
    "tuple": Case(tuple[int, str], (1, "one")),
    "long tuple": Case(tuple[int, ...], (1, 2, 3)),
    "set": Case(set[int], {1, 2, 3}),
    "frozenset": Case(frozenset[str], frozenset({"a", "b"})),
    "dict of int keys": Case(dict[int, str], {1: "one", 2: "two"}),
    "aware datetime": Case(datetime, datetime(2024, 2, 29, 12, 30, 1, 123456, tzinfo=UTC)),
    "datetime with offset": Case(datetime, datetime(2024, 2, 29, 12, 30, tzinfo=EAST)),
    "naive datetime": Case(datetime, datetime(1999, 12, 31, 23, 59)),  # noqa: DTZ001
    "date": Case(date, date(2024, 2, 29)),
    "time": Case(time, time(23, 59, 59, 1)),
    "timedelta": Case(timedelta, timedelta(days=-3, seconds=5, microseconds=7)),
    "uuid": Case(UUID, UUID("12345678-1234-5678-1234-567812345678")),
    "decimal": Case(Decimal, Decimal("1.1000")),
    "enum": Case(Colour, Colour.BLUE),
    "int enum": Case(Size, Size.LARGE),
    "text enum": Case(Mood, Mood.CALM),
    "literal": Case(Literal["a", "b"], "b"),
    "path": Case(PurePosixPath, PurePosixPath("/a/b c")),
    "fraction": Case(Fraction, Fraction(1, 3)),
    "optional, absent": Case(Point | None, None),
    "dataclass": Case(Point, Point(1, 2.5, ["a"])),
    "nested dataclass": Case(Segment, Segment(Point(1), Point(2))),
    "model": Case(Address, Address(street="Main")),
    "nested model": Case(
        Person,
        Person(
            fullName="Ada",
            born=datetime(1815, 12, 10, tzinfo=UTC),
            addresses=[Address(street="St James's Square", number=12)],
            by_colour={Colour.RED: {1, 2}},
        ),
    ),
    "named tuple": Case(Pair, Pair(1, "r")),
    "typed dict": Case(Options, Options(deep={"a": [Decimal("0.10")]}, flag=False)),
    "union": Case(int | str | None, "7"),
    "list of models": Case(list[Address | Point], [Address(street="a"), Point(3)]),
    "nested": Case(
        dict[str, dict[str, list[tuple[UUID, bytes]]]], {"a": {"b": [(UUID(int=1), b"\xff")]}}
    ),
}


def _echo(name: str, annotation: Any) -> Both:
    def echo(value: Any) -> Any:
        return value

    echo.__annotations__ = {"value": annotation, "return": annotation}
    echo.__qualname__ = f"echo[{name}]"
    function: Callable[..., Any] = echo
    return both()(function)


ECHOES = {name: _echo(name, case.annotation) for name, case in CASES.items()}
