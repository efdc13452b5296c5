"""Calls of every shape: bound, stored by name, and called again; what does not fit is named."""

import enum
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field
from typing_extensions import TypedDict, Unpack

from fastapi_jobs.errors import InvalidArguments, TaskDefinitionError
from fastapi_jobs.serialization import ArgumentsCodec, ResultCodec


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: float


class Pet(BaseModel):
    name: str
    born: date | None = None


class Owner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    full_name: str = Field(alias="fullName")
    pets: list[Pet] = []

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.pets)


def everything(
    a: int, /, b: str, c: float = 1.5, *rest: date, d: bool, e: int = 5, **more: Point
) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "stored"),
    [
        ((1, "x"), {"d": True}, '{"a":1,"b":"x","d":true}'),
        ((1,), {"d": True, "b": "x"}, '{"a":1,"b":"x","d":true}'),
        ((1, "x", 2.0, date(2024, 1, 1)), {"d": False}, None),
        ((1, "x"), {"d": False, "a": Point(1, 2.0), "more": Point(3, 4.0)}, None),
    ],
)
def test_a_call_of_every_kind_of_parameter(
    args: tuple[object, ...], kwargs: dict[str, object], stored: str | None
) -> None:
    seen: list[object] = []

    def spy(
        a: int, /, b: str, c: float = 9.9, *rest: date, d: bool, e: int = 7, **more: Point
    ) -> None:
        seen.append((a, b, c, rest, d, e, more))

    text = ArgumentsCodec("t", everything).dump(args, kwargs)
    assert stored is None or text == stored
    back_args, back_kwargs = ArgumentsCodec("t", spy).load(text)
    spy(*back_args, **back_kwargs)
    spy(*args, **kwargs)  # type: ignore[arg-type]  # the defaults are those of the code at run time
    assert repr(seen[0]) == repr(seen[1])


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((), {}, "parameter 'a' is missing; parameter 'b' is missing"),
        ((1,), {}, "parameter 'b' is missing"),
        ((1, 2, 3), {}, "it takes 2 positional arguments (a, b), 3 were given"),
        ((1, "x"), {"a": 2}, "parameter 'a' is given twice, by position and by name"),
        ((1, "x"), {"tota": 2}, "there is no parameter 'tota'. Did you mean 'total'?"),
        ((1, "x"), {"z" * 9999: 2}, "there is no parameter '" + "z" * 60 + "'"),
        ((1, "x"), {"ctx": 2}, "parameter 'ctx' is injected when the job runs; leave it out"),
    ],
)
def test_a_call_that_does_not_fit_names_every_reason(
    args: tuple[object, ...], kwargs: dict[str, object], sentence: str
) -> None:
    def function(a: int, b: str, *, total: int = 0, ctx: object = None) -> None: ...

    codec = ArgumentsCodec("t", function, injected=["ctx"])
    for dump in (codec.dump, codec.dump_json):
        with pytest.raises(InvalidArguments) as caught:
            dump(args, kwargs)
        assert str(caught.value) == f"Arguments of task 't': {sentence}"


def test_positional_only_by_name_and_typed_keywords() -> None:
    def only(a: int, /) -> None: ...
    def typed(**options: Unpack[Strict]) -> None: ...

    with pytest.raises(InvalidArguments, match="'a' is positional-only; give it by position"):
        ArgumentsCodec("t", only).dump((), {"a": 1})
    codec = ArgumentsCodec("t", typed)
    assert codec.load(codec.dump((), {"n": 1})) == ([], {"n": 1})
    with pytest.raises(InvalidArguments, match="parameter 'options' at \\['n'\\]: Field required"):
        codec.dump((), {})


class Strict(TypedDict):
    n: int


def test_an_injected_parameter_is_stepped_over() -> None:
    def function(a: int, ctx: object = None, b: int = 0) -> None: ...
    def starred(a: int, ctx: object = None, *rest: int) -> None: ...

    assert ArgumentsCodec("t", function, ["ctx"]).dump((1, 2), {}) == '{"a":1,"b":2}'
    with pytest.raises(TaskDefinitionError) as caught:
        ArgumentsCodec("t", starred, ["ctx"])
    assert str(caught.value) == (
        "task 't', parameter 'ctx': it is injected by name. Put it after *rest."
    )


def test_the_order_of_keywords_does_not_show() -> None:
    def function(a: int, b: int) -> None: ...

    codec = ArgumentsCodec("t", function)
    assert codec.dump((), {"b": 2, "a": 1}) == codec.dump((1, 2), {}) == '{"a":1,"b":2}'


def test_json_becomes_what_it_stands_for() -> None:
    def function(
        at: datetime, owner: Owner, key: bytes, kinds: set[Colour], n: int = 3
    ) -> None: ...

    codec = ArgumentsCodec("t", function)
    owner = {"fullName": "Ann", "pets": [{"name": "Rex"}]}
    text = codec.dump_json(["2024-01-05T12:00:00Z", owner, "_w=="], {"kinds": ["red"]})
    assert codec.load(text)[1] == {
        "at": datetime(2024, 1, 5, 12, tzinfo=UTC),
        "owner": Owner(fullName="Ann", pets=[Pet(name="Rex")]),
        "key": b"\xff",
        "kinds": {Colour.RED},
    }
    with pytest.raises(InvalidArguments, match=r"'at': Input should be a valid datetime.*'kinds'"):
        codec.dump_json(["soon", owner, ""], {"kinds": ["green"]})
    for bad in (float("nan"), "\ud800"):
        with pytest.raises(InvalidArguments, match="parameter 'at' is missing"):
            codec.dump_json([], {"anything": bad})


def test_json_of_another_type_is_refused_as_the_schema_says() -> None:
    def function(
        n: int = 0, x: float = 0.0, flag: bool = False, many: list[int] | None = None
    ) -> None: ...

    codec = ArgumentsCodec("t", function)
    assert codec.load(codec.dump_json([], {"x": 2, "many": [1]}))[1] == {"x": 2.0, "many": [1]}
    for bad in ({"n": False}, {"n": "1"}, {"x": True}, {"flag": 1}, {"many": [True]}):
        [name] = bad
        with pytest.raises(InvalidArguments, match=f"parameter '{name}'"):
            codec.dump_json([], bad)


def test_arguments_of_older_code_are_refused_by_name() -> None:
    def function(amount: int) -> None: ...

    codec = ArgumentsCodec("t", function)
    for text, sentence in [
        ('{"amount":1,"gone":2}', "parameter 'gone': Extra inputs are not permitted"),
        ("{}", "parameter 'amount': Field required"),
        ("[]", "the arguments: Input should be an object, not the list []"),
    ]:
        with pytest.raises(InvalidArguments, match=re.escape(sentence)):
            codec.load(text)


def test_what_has_no_json_form_fails_at_definition() -> None:
    class Connection: ...

    def wrong(a: int, db: Connection) -> None: ...
    def unknown(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def field(a: int = Field(gt=0)) -> None: ...
    def returns() -> Connection:
        raise NotImplementedError

    cases: list[tuple[Callable[[], object], str]] = [
        (
            lambda: ArgumentsCodec("t", wrong),
            "task 't', parameter 'db': its annotation has no JSON",
        ),
        (
            lambda: ArgumentsCodec("t", unknown),
            "task 't', parameter 'a': the name 'Nowhere' in its",
        ),
        (lambda: ArgumentsCodec("t", field), "Write a: Annotated[type, Field(...)] = value"),
        (lambda: ResultCodec("t", returns), "task 't', the return annotation: it has no JSON form"),
    ]
    for make, sentence in cases:
        with pytest.raises(TaskDefinitionError, match=re.escape(sentence)):
            make()


def test_the_model_of_the_parameters_types_a_request_body() -> None:
    def function(
        n: Annotated[int, Field(gt=0)],
        copy: str = "x",
        _hidden: int = 1,
        model_id: object = re,
        *rest: int,
    ) -> None: ...

    codec = ArgumentsCodec("shop.job", function)
    schema = codec.json_schema()
    assert schema["required"] == ["n"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == ["n", "copy", "_hidden", "model_id", "rest"]
    assert schema["properties"]["copy"]["default"] == "x"
    assert schema["properties"]["n"]["exclusiveMinimum"] == 0
    params = {"rest": [4], "n": 2, "_hidden": 3}
    codec.params_model.model_validate(params)
    assert codec.dump_named_json(params) == '{"n":2,"_hidden":3,"rest":[4]}'
    mistakes: list[tuple[dict[str, object], str]] = [
        ({"_hidden": 3}, "parameter 'n' is missing"),
        ({"n": 2, "coppy": ""}, "there is no parameter 'coppy'. Did you mean 'copy'?"),
        ({"n": 2, "rest": 4}, "parameter 'rest'"),
        ({"n": 0}, "parameter 'n'"),
    ]
    for wrong, sentence in mistakes:
        with pytest.raises(InvalidArguments, match=re.escape(sentence)):
            codec.dump_named_json(wrong)
