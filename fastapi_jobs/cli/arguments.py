"""The words `key=value` of `enqueue` as the arguments that a task takes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from fastapi_jobs.registry import TaskDefinition

HINT = "--kwargs"


def read_arguments(
    definition: TaskDefinition, words: Sequence[str], kwargs: str | None
) -> dict[str, Any]:
    """The arguments of `--kwargs` and of the words, which win; none is judged here."""
    given = _object(kwargs) if kwargs is not None else {}
    properties = _properties(definition)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise typer.BadParameter(
                f"{word!r} is not key=value. Arguments are named: "
                f"{', '.join(f'{name}=…' for name in properties) or 'this task takes none'}."
            )
        given[key] = value_of(text, properties.get(key, {}))
    return given


def _properties(definition: TaskDefinition) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = definition.arguments.json_schema().get("properties", {})
    return properties


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON: {error}.", param_hint=HINT) from None
    if not isinstance(value, dict):
        rule = f'give an object such as {{"name": "Ann"}}, not {text[:40]}'
        raise typer.BadParameter(rule, param_hint=HINT)
    return value


def value_of(text: str, schema: Mapping[str, Any]) -> Any:
    """A text where the parameter takes one, else JSON, else the text all the same."""
    kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
    if "string" in kinds and not (text == "null" and "null" in kinds):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
