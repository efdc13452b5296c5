"""A form for the arguments of a task: its fields, what was typed, and what is wrong with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from fastapi_jobs.api.problems import problem_of
from fastapi_jobs.api.task_schemas import ANYTHING, params_schema
from fastapi_jobs.errors import InvalidArguments
from fastapi_jobs.registry import TaskDefinition

PREFIX = "arg."
"""Before the names of arguments in a form, so that none is taken for an option."""

_KINDS = {"integer": "number", "number": "number", "boolean": "checkbox", "string": "text"}
_TYPES = {"number": "a number", "text": "text", "checkbox": "yes or no", "json": "JSON"}


@dataclass(slots=True)
class FormField:
    """One parameter, and what stands in its field."""

    name: str
    kind: str
    """`text`, `number`, `checkbox`, `select`, `json` or `secret`."""
    label: str
    is_needed: bool
    hint: str
    value: str = ""
    choices: list[str] = field(default_factory=list)
    error: str = ""
    is_nullable: bool = False
    is_text: bool = True
    """A secret's value is taken as it was typed; else it is JSON."""
    unchanged: str = ""
    """What stands there at first: left like that, the function's own default is in force."""

    @property
    def html_name(self) -> str:
        """Its name in the form."""
        return f"{PREFIX}{self.name}"


class NotJSON(ValueError):
    """A text that was to be JSON."""

    def __init__(self, error: json.JSONDecodeError) -> None:
        place = f"line {error.lineno}, column {error.colno}"
        super().__init__(f"This is not JSON: {error.msg} ({place}).")


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        NotJSON
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise NotJSON(error) from None
    except RecursionError:
        raise NotJSON(json.JSONDecodeError("it is nested too deeply", text, 0)) from None


def fields_of(definition: TaskDefinition) -> list[FormField]:
    """The fields for a task's parameters, those that are injected left out."""
    schema = params_schema(definition)
    if schema == ANYTHING:
        # A type of the host's own, which pydantic can read but not describe.
        names = definition.arguments.names
        schema = {"properties": {name: {} for name in names}, "required": []}
    needed, known = schema.get("required", []), schema.get("$defs", {})
    secret = definition.options.secret
    return [
        _field(name, each, known, is_needed=name in needed, is_secret=name in secret)
        for name, each in schema.get("properties", {}).items()
    ]


def _field(
    name: str,
    schema: Mapping[str, Any],
    known: Mapping[str, Any],
    *,
    is_needed: bool,
    is_secret: bool,
) -> FormField:
    options = [_resolved(each, known) for each in schema.get("anyOf", [schema])]
    plain = [each for each in options if each.get("type") != "null"]
    kinds = {_KINDS.get(each.get("type", ""), "json") for each in plain}
    kind = _kind_of(kinds)
    choices = [each for option in plain for each in option.get("enum", [])]
    if choices and kind == "text":
        kind = "select"
    is_nullable = len(plain) < len(options)
    if kind == "checkbox" and is_nullable:
        kind = "json"  # a box has two states only
    made = FormField(
        name=name,
        kind="secret" if is_secret else kind,
        label=name,
        is_needed=is_needed,
        hint=_hint(kind, plain, is_nullable=is_nullable),
        choices=choices if kind == "select" else [],
        is_nullable=is_nullable,
        is_text=kind in ("text", "select"),
    )
    if not is_needed and not is_secret:
        made.value = made.unchanged = _default(kind, schema)
    return made


def _kind_of(kinds: set[str]) -> str:
    """What more than one type fits is text if that is one of them: a Decimal, a time."""
    if "text" in kinds and "json" not in kinds:
        return "text"
    return kinds.pop() if len(kinds) == 1 else "json"


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = str(schema.get("$ref", ""))
    if not reference:
        return schema
    found: Mapping[str, Any] = known.get(reference.removeprefix("#/$defs/"), {})
    return found


def _default(kind: str, schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return ""
    default = schema["default"]
    if kind == "checkbox":
        return "on" if default else ""
    if kind == "json":
        return to_json(default, indent=2).decode()
    return "" if default is None else str(default)


_RULES = {
    "minimum": "from {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "pattern {}",
}


def _hint(kind: str, plain: list[Mapping[str, Any]], *, is_nullable: bool) -> str:
    words = [_TYPES.get(kind, "")]
    for option in plain:
        if option.get("type") == "integer":
            words[0] = "a whole number"
        elif kind == "json" and option.get("type") in ("array", "object"):
            words[0] = "a JSON list" if option["type"] == "array" else "a JSON object"
        if option.get("format"):
            words.append(str(option["format"]))
        words += [text.format(option[key]) for key, text in _RULES.items() if key in option]
    if is_nullable:
        words.append("null for none" if kind == "json" else "empty for none")
    return ", ".join(each for each in words if each)


def fill(fields: list[FormField], form: Mapping[str, Any]) -> None:
    """Put what was typed into the fields; secrets are typed anew each time."""
    for each in fields:
        if each.kind != "secret":
            each.value = _text(form, each)


def _text(form: Mapping[str, Any], one: FormField) -> str:
    return str(form.get(one.html_name, "")).replace("\r\n", "\n")


def arguments_of(fields: list[FormField], form: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were typed, as JSON values; a field that is wrong in itself says so."""
    values: dict[str, Any] = {}
    for each in fields:
        text = _text(form, each)
        if not each.is_needed and text == each.unchanged:
            continue
        try:
            if text or each.kind == "checkbox":
                values[each.name] = _value(each, text)
            elif each.is_nullable:
                values[each.name] = None
            elif each.is_text and not each.is_needed:
                values[each.name] = ""  # instead of its default
        except NotJSON as error:
            each.error = str(error)
    return values


def _value(one: FormField, text: str) -> Any:
    if one.kind == "checkbox":
        return text == "on"
    if one.is_text:
        return text
    if one.kind != "number":
        return read_json(text)
    try:
        return read_json(text)
    except NotJSON:
        return text  # the task's own rule says best what it wants instead


def tell(fields: list[FormField], error: InvalidArguments) -> list[str]:
    """Put the messages of a refusal at their fields; those that have none are returned."""
    by_name = {each.name: each for each in fields}
    rest = []
    for name, message in problems_of(error):
        one = by_name.get(name)
        if one is None:
            rest.append(message)
        elif not one.error:
            one.error = message
    return rest


def problems_of(error: InvalidArguments) -> list[tuple[str, str]]:
    """The parameter and the message of each problem."""
    problem = problem_of(error)
    found = [] if problem is None else problem.extras["errors"]
    return [(each["field"], _short(each["field"], each["message"])) for each in found]


def _short(name: str, message: str) -> str:
    """The message at the field of its parameter, which need not be named there."""
    text = message.removeprefix(f"parameter {name!r}").removeprefix(":").strip()
    if text.startswith("is "):
        text = f"It {text}"
    return f"{text[:1].upper()}{text[1:]}."
