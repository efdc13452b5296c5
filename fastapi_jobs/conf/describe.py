"""The effective settings for a person (passwords hidden) and for a child process (everything)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fastapi_jobs.conf.model import Settings, Table, remember
from fastapi_jobs.conf.shape import KeyPath, dotted
from fastapi_jobs.conf.shown import shown


class Described(NamedTuple):
    """One line of `fastapi-jobs settings`."""

    key: str
    value: str
    origin: str


def leaves(settings: Settings) -> Iterator[tuple[KeyPath, object]]:
    """Every key with its typed value; queues and routes that are set, in their order."""
    yield from _leaves((), settings)


def _leaves(path: KeyPath, table: Table | Mapping[str, object]) -> Iterator[tuple[KeyPath, object]]:
    for name, value in table.items() if isinstance(table, Mapping) else table:
        if isinstance(value, Table | Mapping):
            yield from _leaves((*path, name), value)
        else:
            yield (*path, name), value


def origins(settings: Settings) -> Mapping[str, str]:
    """For each dotted key, where its value came from, such as `settings.toml [production]`."""
    return settings.origins


def describe(settings: Settings) -> list[Described]:
    """Every key as a person may see it: passwords hidden, values written as in TOML."""
    came_from = settings.origins
    return [
        Described(dotted(path), shown(value), came_from.get(dotted(path), ""))
        for path, value in leaves(settings)
    ]


def to_json(settings: Settings) -> str:
    """The settings, secrets included, for `from_json` in a child process. Never log it."""
    content = {
        "values": settings.model_dump(mode="json"),
        "environment": settings.environment,
        "files": [str(path) for path in settings.files],
        "origins": dict(settings.origins),
    }
    return json.dumps(content)


def from_json(text: str) -> Settings:
    """The settings that `to_json` wrote, equal to the original; reads no file and no variable."""
    content = json.loads(text)
    return remember(
        Settings.model_validate(content["values"]),
        content["environment"],
        [Path(name) for name in content["files"]],
        content["origins"],
    )
