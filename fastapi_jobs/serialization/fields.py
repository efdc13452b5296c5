"""Named values of given types, written as one JSON object and read back exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import NoneType, UnionType
from typing import Any, NotRequired, Required, Union, get_args, get_origin
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import (
    CoreConfig,
    PydanticSerializationError,
    SchemaSerializer,
    from_json,
    to_json,
)
from typing_extensions import TypedDict

from .canonical import canonical
from .exact import first_difference
from .wording import Problem, described, of_difference, of_validation, of_write_failure

BASE64 = ConfigDict(
    extra="forbid", loc_by_alias=False, ser_json_bytes="base64", val_json_bytes="base64"
)
_WRITING = CoreConfig(ser_json_bytes="base64", ser_json_inf_nan="constants")

_JSON_SCALARS = frozenset({str, int, bool, float, NoneType})
_ALONE = frozenset({UUID, date})
_INT_LIMIT = 1 << 4096
"""Python's own parser refuses ints above 4300 digits; below this limit none needs a check."""
_FLOAT_LIMIT = float("inf")

UNUSABLE = (PydanticUserError, TypeError, NameError, RecursionError)
"""What pydantic raises for an annotation that it can make nothing of."""


class Unfaithful(ValueError):
    """Values that would not come back as they are; `problems` holds one for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, problems)))


@dataclass(frozen=True)
class Field:
    """One named value: its type, and whether it may be absent."""

    annotation: Any
    is_required: bool = True


class ExactFields:
    """Writes and reads a fixed set of named values.

    Raises PydanticUserError or TypeError when a type has no JSON form.
    """

    def __init__(self, title: str, fields: Mapping[str, Field]) -> None:
        self._annotations = {
            name: Any if one.annotation is object else one.annotation
            for name, one in fields.items()
        }
        self._scalars = {name: exact_scalars(one) for name, one in self._annotations.items()}
        make_typed_dict: Any = TypedDict  # made at run time, which type checkers do not follow
        shape = make_typed_dict(
            title,
            {
                name: (Required if fields[name].is_required else NotRequired)[annotation]
                for name, annotation in self._annotations.items()
            },
        )
        shape.__pydantic_config__ = BASE64
        adapter = TypeAdapter(shape)
        self._adapter = adapter
        self._validator = adapter.validator
        # A TypedDict's own config does not reach its serializer; given from outside it does.
        self._serializer = SchemaSerializer(adapter.core_schema, _WRITING)

    def write(self, given: dict[str, Any]) -> str:
        """JSON text of Python values. Raises Unfaithful."""
        text = self._write_scalars(given)
        if text is not None:
            return text
        try:
            valid = self._validator.validate_python(given, by_alias=False, by_name=True)
        except ValidationError as error:
            raise Unfaithful(_validation_problems(error)) from None
        return self._write_checked(valid, given)

    def write_json(self, given: dict[str, Any]) -> str:
        """JSON text of values that were parsed from JSON: they become what they stand for first.

        Raises Unfaithful.
        """
        text = self._write_scalars(given)
        if text is not None:
            return text
        raw = self._encode(given, to_json)
        try:
            valid = self._validator.validate_json(raw, strict=True, by_alias=True, by_name=True)
        except ValidationError as error:
            raise Unfaithful(_validation_problems(error)) from None
        return self._write_checked(valid, valid)

    def read(self, text: str) -> dict[str, Any]:
        """The values back. Raises Unfaithful when the text does not fit the types (any more)."""
        try:
            values: dict[str, Any] = self._validator.validate_json(
                text, by_alias=False, by_name=True
            )
        except ValidationError as error:
            raise Unfaithful(_validation_problems(error)) from None
        return values

    def canonical(self, text: str) -> str:
        """What `write` gave, as a text that is equal for equal values. Raises Unfaithful."""
        values = self.read(text)
        return canonical(from_json(self._to_json(values)), values)

    def json_schema(self, name: str) -> dict[str, Any]:
        """The JSON schema of one value as it is written."""
        whole = self._adapter.json_schema(mode="serialization", by_alias=False)
        definitions = {"$defs": whole["$defs"]} if "$defs" in whole else {}
        return {**whole["properties"][name], **definitions}

    def _write_scalars(self, given: dict[str, Any]) -> str | None:
        """The hot path: values of exactly the type that JSON gives back need no round trip."""
        scalars = self._scalars
        for name, value in given.items():
            kind = type(value)
            if kind not in scalars[name]:
                return None
            if kind is int:
                if not -_INT_LIMIT < value < _INT_LIMIT:
                    return None
            elif kind is float and not -_FLOAT_LIMIT < value < _FLOAT_LIMIT:
                return None
        try:
            return to_json(given).decode()
        except PydanticSerializationError:  # a lone surrogate; the long way finds the words
            return None

    def _write_checked(self, valid: dict[str, Any], given: dict[str, Any]) -> str:
        text = self._encode(valid, self._to_json)
        back = self._read_back(text, valid)
        problems = [
            of_difference(name, found, self._annotations[name])
            for name, value in given.items()
            if (found := first_difference(value, back[name]))
        ]
        if problems:
            raise Unfaithful(problems)
        return text

    def _read_back(self, text: str, valid: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.read(text)
        except Unfaithful as error:
            if error.problems[0].name:
                raise
            # The text is beyond the parser as a whole; one value is the reason.
            unreadable = [_unreadable(*one, self._to_json) for one in valid.items()]
            raise Unfaithful([one for one in unreadable if one] or error.problems) from None

    def _to_json(self, values: dict[str, Any]) -> bytes:
        # Warnings are about values that do not fit their type: the comparison judges that.
        # round_trip leaves out computed fields, which no constructor takes.
        return self._serializer.to_json(values, by_alias=False, round_trip=True, warnings=False)

    def _encode(self, values: dict[str, Any], encode: Any) -> str:
        try:
            return _encode_strictly(values, encode)
        except (PydanticSerializationError, ValueError, RecursionError):
            problems = [
                problem
                for name, value in values.items()
                if (problem := _write_problem(name, value, encode))
            ]
            if not problems:
                raise
            raise Unfaithful(problems) from None


class _NotJSON(ValueError):
    """NaN or an infinity, which a parser of JSON does not know."""


def _encode_strictly(values: dict[str, Any], encode: Any) -> str:
    text: str = encode(values).decode()
    if "NaN" in text or "Infinity" in text:
        try:
            from_json(text, allow_inf_nan=False)
        except ValueError:
            raise _NotJSON from None
    return text


def _write_problem(name: str, value: Any, encode: Any) -> Problem | None:
    try:
        _encode_strictly({name: value}, encode)
    except _NotJSON:
        holds = "is" if isinstance(value, float) else "holds"
        text = f"{described(value)} {holds} NaN or an infinity, which JSON does not have."
        if isinstance(value, float):
            text = f"JSON has no {value}."
        return Problem(name, "", text, "Pass None, or a str.")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        return of_write_failure(name, value, error)
    return None


def _unreadable(name: str, value: Any, encode: Any) -> Problem | None:
    try:
        from_json(encode({name: value}))
    except ValueError as error:
        reason = str(error).partition(" at line")[0]
        text = f"{described(value)} cannot be read back from JSON ({reason})."
        return Problem(name, "", text, "Pass it as a str.")
    return None


def _validation_problems(error: ValidationError) -> list[Problem]:
    return [
        of_validation(str(one["loc"][0]) if one["loc"] else "", one)
        for one in error.errors(include_url=False, include_context=False)[:10]
    ]


def exact_scalars(annotation: Any) -> frozenset[Any]:
    """The types whose values need no check against this annotation; empty for all the rest."""
    if annotation is Any:
        return _JSON_SCALARS
    if annotation is None:
        return frozenset({NoneType})
    is_union = get_origin(annotation) in (Union, UnionType)
    kinds = frozenset(get_args(annotation) if is_union else (annotation,))
    if kinds <= _JSON_SCALARS or (kinds - {NoneType} <= _ALONE and len(kinds - {NoneType}) == 1):
        return kinds
    return frozenset()


def why_unusable(annotation: Any) -> str | None:
    """Why no JSON form can be made for this type, or None when it can."""
    try:
        ExactFields("Probe", {"it": Field(annotation)})
    except UNUSABLE as error:
        return str(error).splitlines()[0][:300]
    return None
