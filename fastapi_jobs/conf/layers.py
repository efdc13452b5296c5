"""Layers of raw values, each with its origin, laid over each other: tables merge, lists replace."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi_jobs.conf.model import Table
from fastapi_jobs.conf.shape import KeyPath, Shape, known, meant
from fastapi_jobs.conf.shown import shown
from fastapi_jobs.conf.urls import anchor_database, anchor_file
from fastapi_jobs.errors import SettingsProblem

FILE_SUFFIX = "_file"


@dataclass(frozen=True)
class Layer:
    """Raw values from one place; `folder` is what its relative file names are relative to.

    A key and its `_file` may not both be given in layers of one `group`: neither would win.
    """

    origin: str
    folder: Path
    values: Mapping[str, object]
    group: str


@dataclass
class Merged:
    """What the layers came to: nested raw values, the origin of each, and what was wrong."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[SettingsProblem] = field(default_factory=list)
    _given: set[tuple[str, KeyPath]] = field(default_factory=set)

    def add(self, layer: Layer) -> None:
        """Lay `layer` over what is there."""
        for path, value, origin in self._read(layer, (), layer.values, known()):
            self.put(path, value, origin)

    def put(self, path: KeyPath, value: object, origin: str) -> None:
        """Set one key; an empty table only makes sure that the table is there."""
        table = self.values
        for name in path[:-1]:
            below = table.setdefault(name, {})
            if not isinstance(below, dict):
                below = table[name] = {}
            table = below
        if value == {} and isinstance(table.get(path[-1]), dict):
            return
        table[path[-1]] = value
        self.origins[path] = origin

    def take(self, path: KeyPath) -> object:
        """The raw value of a key, None if there is none."""
        value: object = self.values
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _read(
        self, layer: Layer, path: KeyPath, table: Mapping[str, object], shape: Shape
    ) -> Iterator[tuple[KeyPath, object, str]]:
        for raw_name, raw in table.items():
            name = _spelled(raw_name, shape)
            here = (*path, name)
            child = shape.each or shape.keys.get(name)
            value = raw.model_dump(exclude_unset=True) if isinstance(raw, Table) else raw
            base = name.removesuffix(FILE_SUFFIX)
            if child is None and base in shape.keys and not shape.keys[base].is_table:
                self._note(layer, here, other=(*path, base))
                yield from self._read_file(layer, (*path, base), value)
            elif child is None:
                cure = meant(here, shape)
                self._problem(here, layer.origin, "", "there is no such setting.", cure)
            elif not child.is_table:
                self._note(layer, here, other=(*path, name + FILE_SUFFIX))
                yield here, _anchored(here, value, layer.folder), layer.origin
            elif isinstance(value, Mapping):
                yield here, {}, layer.origin
                yield from self._read(layer, here, value, child)
            else:
                cure = f"Write [default.fastapi_jobs.{'.'.join(here)}]."
                self._problem(here, layer.origin, shown(value), "must be a table.", cure)

    def _note(self, layer: Layer, path: KeyPath, other: KeyPath) -> None:
        self._given.add((layer.group, path))
        if (layer.group, other) in self._given:
            rule = f"cannot be set beside {'.'.join(other)}."
            self._problem(path, layer.origin, "", rule, "Keep one of the two.")

    def _read_file(
        self, layer: Layer, path: KeyPath, value: object
    ) -> Iterator[tuple[KeyPath, object, str]]:
        key = (*path[:-1], path[-1] + FILE_SUFFIX)
        if not isinstance(value, str | Path) or "://" in str(value) or not str(value).strip():
            rule = "must be the name of a file that holds the value."
            self._problem(key, layer.origin, "", rule, f"The value itself goes to {path[-1]}.")
            return
        file = layer.folder / value
        try:
            text = file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            rule = f"{file} cannot be read: {why}."
            self._problem(
                key, layer.origin, shown(value), rule, "Name a file that holds the value."
            )
            return
        if not text:
            cure = "Write the value into it, or remove the key."
            self._problem(key, layer.origin, shown(value), f"{file} is empty.", cure)
            return
        yield path, _anchored(path, text, layer.folder), f"{layer.origin}, file {file}"

    def _problem(self, path: KeyPath, origin: str, value: str, rule: str, cure: str) -> None:
        self.problems.append(SettingsProblem(".".join(path), origin, value, rule, cure))


def _spelled(name: object, shape: Shape) -> str:
    return str(name) if shape.each else str(name).lower()


def _anchored(path: KeyPath, value: object, folder: Path) -> object:
    if path == ("database_url",) and isinstance(value, str):
        return anchor_database(value, folder)
    if path == ("log_file",) and isinstance(value, str | Path):
        return anchor_file(str(value), folder) if str(value) != "." else value
    return value
