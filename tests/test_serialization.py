"""Arguments and results come back exactly, or are refused in a sentence (law 14)."""

import dataclasses
import enum
import json
from collections import defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    computed_field,
)
from typing_extensions import TypedDict

from fastapi_jobs.errors import InvalidArguments, NotSerializable
from fastapi_jobs.serialization import ArgumentsCodec, ResultCodec


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Box:
    name: str
    corners: tuple[Point, ...] = ()


class Options(TypedDict, total=False):
    depth: int
    day: date


class Pet(BaseModel):
    name: str
    born: date | None = None


class Dog(Pet):
    breed: str = "mixed"


class Owner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    full_name: str = Field(alias="fullName")
    pets: list[Pet] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.pets)


class Blob(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    content: bytes


class Plain(BaseModel):
    content: bytes = b""


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    _note: str = PrivateAttr(default="")

    def noted(self, note: str) -> "Loose":
        self._note = note
        return self


class Indexed(BaseModel):
    names: list[str]

    @cached_property
    def index(self) -> object:
        return object()  # never equal to the one that the other instance would make

    def indexed(self) -> "Indexed":
        assert self.index is self.index
        return self


def tagged(box: Box) -> Box:
    box.__dict__["tag"] = "lost"
    return box


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
    """An independent judge: repr shows types, digits and signs; isoformat the offset."""
    show = datetime.isoformat if isinstance(one, datetime) else repr
    return type(one) is type(other) and one == other and show(one) == show(other)  # type: ignore[arg-type]


BERLIN_WINTER = datetime(2024, 1, 5, 12, tzinfo=timezone(timedelta(hours=1)))

KEPT: list[tuple[Any, Any]] = [
    (int, 2**70),
    (int, -(10**4000)),
    (float, 1e22),
    (float, -0.0),
    (float, 5e-324),
    (str, "a\x00b\u2028\U0001f600"),
    (bool, True),
    (None, None),
    (int | None, None),
    (int | str, "1"),
    (int | float, 1.0),
    (int | float, 1),
    (bool | int, True),
    (bytes, bytes(range(256))),
    (list[bytes | None], [b"\xff", None]),
    (datetime, datetime(2024, 2, 29, 1, 2, 3, 4)),  # noqa: DTZ001
    (datetime, BERLIN_WINTER),
    (datetime | None, BERLIN_WINTER),
    (date, date(1, 1, 1)),
    (time, time(23, 59, 59, 999999)),
    (timedelta, timedelta(days=-400, microseconds=1)),
    (UUID, UUID(int=7)),
    (UUID | None, UUID(int=7)),
    (Decimal, Decimal("1.00")),
    (Decimal, Decimal("-1E+40")),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (Mode, Mode.FAST),
    (dict[Colour, set[Level]], {Colour.BLUE: {Level.LOW}}),
    (Literal["a", 1], "a"),
    (Path, Path("a/b.txt")),
    (set[int], {3, 1}),
    (frozenset[tuple[int, str]], frozenset({(1, "a")})),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "x")),
    (deque[int], deque([1])),
    (defaultdict[str, int], defaultdict(int, a=1)),
    (dict[int, list[date]], {1: [date(2024, 1, 1)]}),
    (dict[tuple[int, int], str] | dict[int, str], {1: "a"}),
    (Point, Point(1, 2.5)),
    (Box, Box("b", (Point(1, 2.0),))),
    (Options, {"depth": 2, "day": date(2024, 1, 1)}),
    (Pet, Pet(name="Rex", born=date(2020, 1, 1))),
    (Dog | Pet, Dog(name="Rex")),
    (list[Owner], [Owner(fullName="Ann", pets=[Pet(name="Rex")])]),
    (Blob, Blob(content=b"\xff\x00")),
    (Loose, Loose.model_validate({"more": [1, "a"]})),
    (Indexed, Indexed(names=["a"]).indexed()),
    (Annotated[int, Field(gt=0)], 1),
    (Any, {"a": [1, 2.5, None, True, "x", {}]}),
    (object, [1]),
]


@pytest.mark.parametrize(("annotation", "value"), KEPT)
def test_a_value_comes_back_as_it_was(annotation: Any, value: Any) -> None:
    assert same(through(annotation, value), value)


@pytest.mark.parametrize(("annotation", "value"), KEPT)
def test_a_result_comes_back_as_it_was(annotation: Any, value: Any) -> None:
    def function(): ...  # type: ignore[no-untyped-def]

    function.__annotations__["return"] = annotation
    codec = ResultCodec("shop.job", function)
    assert same(codec.load(codec.dump(value)), value)


def test_the_one_conversion_is_an_int_for_a_float() -> None:
    assert same(through(float, 1), 1.0)
    assert same(through(list[float], [1, 2.5]), [1.0, 2.5])
    with pytest.raises(InvalidArguments, match="would come back as the float"):
        taking(float).dump([2**53 + 1], {})


def test_a_zone_comes_back_as_its_offset() -> None:
    noon = datetime(2024, 7, 5, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    repeated_hour = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    for given_value in (noon, repeated_hour):
        back = through(datetime, given_value)
        assert back.isoformat() == given_value.isoformat()
        assert back.utcoffset() == given_value.utcoffset()


REFUSED: list[Any] = [
    (
        Any,
        (1, 2),
        "parameter 'value': the tuple (1, 2) would come back as the list [1, 2]. "
        "Annotate it: tuple[int, int]",
    ),
    (Any, {"a": [(1,)]}, "parameter 'value' at ['a'][0]: the tuple (1,) would come back as"),
    (Any, {1: "a"}, "the dict {1: 'a'} would come back as the dict {'1': 'a'}"),
    (Any, {1: "a", "1": "b"}, "would come back as the dict {'1': 'b'}"),
    (Any, {1, 2}, "Annotate it: set[int]"),
    (Any, b"a", "the bytes b'a' would come back as the str 'YQ=='. Annotate it: bytes"),
    (Any, date(2024, 1, 1), "would come back as the str '2024-01-01'. Annotate it: date"),
    (Any, Decimal("1.0"), "Annotate it: Decimal"),
    (Any, Pet(name="Rex"), "Annotate it: Pet"),
    (Any, Level.LOW, "would come back as the int 1. Annotate it: Level"),
    (Any, object(), "has no JSON form (Unable to serialize unknown type: <class 'object'>)"),
    (Any, float("nan"), "JSON has no nan. Pass None, or a str"),
    (float, float("-inf"), "JSON has no -inf"),
    (list[float], [1.0, float("nan")], "holds NaN or an infinity, which JSON does not have"),
    (Any, "\ud800", r"the str '\ud800' holds a lone surrogate, which is not text. Pass bytes"),
    (str, "\ud800", r"the str '\ud800' holds a lone surrogate"),
    (int, True, "the bool True would come back as the int 1. Pass an int, or annotate it: bool"),
    (int, 1.0, "the float 1.0 would come back as the int 1"),
    (bool, 1, "the int 1 would come back as the bool True"),
    (int, "1", "the str '1' would come back as the int 1. Pass an int, or annotate it: str"),
    pytest.param(int, 10**5000, "the int of 16610 bits cannot be read back from JSON", id="huge"),
    (list[int], (1, 2), "Pass a list, or annotate it: tuple[int, int]"),
    (list[int], [1, True], "parameter 'value' at [1]: the bool True would come back as"),
    (set[int], {True}, "the set {True} would come back as the set {1}"),
    (datetime, "2024-01-01T00:00:00", "Pass a datetime, or annotate it: str"),
    (datetime | str, "2024-01-01T00:00:00", "would come back as the datetime"),
    (datetime, datetime(2024, 10, 27, 2, fold=1), "would come back as"),  # noqa: DTZ001
    (date, datetime(2024, 1, 1), "would come back as the datetime.date"),  # noqa: DTZ001
    (Pet, {"name": "Rex"}, "Pass a Pet, or annotate it: dict[str, str]"),
    (Pet, Dog(name="Rex"), "or annotate it: Dog"),
    (list[Pet], [Dog(name="Rex")], "parameter 'value' at [0]: the Dog(name='Rex'"),
    (
        Pet,
        Pet.model_construct(name=3),
        "parameter 'value' at ['name']: Input should be a valid str",
    ),
    (Loose, Loose.model_validate({"more": (1,)}), "parameter 'value' at .more: the tuple (1,)"),
    (Loose, Loose().noted("x"), "parameter 'value' at ._note: the str 'x' would come back as"),
    (Box, tagged(Box("b")), "at .tag: the str 'lost' would come back as nothing"),
    (deque[int], deque([1], maxlen=2), "would come back as the deque([1])"),
    (defaultdict[str, int], defaultdict(None, a=1), "would come back as the defaultdict("),
    (
        Annotated[float, AfterValidator(abs)],
        -0.0,
        "the float -0.0 would come back as the float 0.0",
    ),
    (Annotated[Decimal, AfterValidator(Decimal.normalize)], Decimal("1.0"), "the Decimal('1')"),
    (Plain, Plain(content=b"\xff"), 'Set ser_json_bytes and val_json_bytes to "base64"'),
    (SecretStr, SecretStr("x"), "would come back as"),
    (Annotated[str, StringConstraints(to_lower=True)], "ABC", "Pass the value that it would"),
    (Annotated[int, Field(gt=0)], 0, "Input should be greater than 0, not the int 0"),
    (str, Mode.FAST, "or annotate it: Mode"),
    (Colour, "red", "would come back as the Colour"),
    (list[int], "x" * 10_000, "Input should be a valid list, not the str 'xxxxx"),
]


@pytest.mark.parametrize(("annotation", "value", "sentence"), REFUSED)
def test_what_would_change_is_refused(annotation: Any, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        taking(annotation).dump([value], {})
    text = str(caught.value)
    assert sentence in text
    assert text.startswith("Arguments of task 'shop.job': parameter 'value'")
    assert len(text) < 500


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(InvalidArguments, match="contains itself"):
        taking(Any).dump([loop], {})
    with pytest.raises(InvalidArguments, match="parameter 'value': the list"):
        taking(Any).dump([deep], {})


def test_a_result_that_would_change_is_refused() -> None:
    def bare(): ...  # type: ignore[no-untyped-def]
    def nothing() -> None: ...

    for function in (bare, nothing):
        codec = ResultCodec("shop.job", function)
        assert codec.dump(None) == "null"
        assert codec.load(codec.dump([1, "a"])) == [1, "a"]
        with pytest.raises(NotSerializable) as caught:
            codec.dump({"at": (1, 2)})
        assert str(caught.value) == (
            "The result of task 'shop.job' would not come back as it is (at ['at']): the tuple "
            "(1, 2) would come back as the list [1, 2]. Annotate the return type, return JSON "
            "types, or set store_result=False."
        )


def test_a_stored_result_that_no_longer_fits_says_so() -> None:
    def count() -> int:
        return 1

    with pytest.raises(NotSerializable, match="does not take now: Input should be a valid integer"):
        ResultCodec("shop.job", count).load('"many"')
    assert ResultCodec("shop.job", count).json_schema()["type"] == "integer"
