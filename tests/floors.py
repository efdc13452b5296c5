"""Reads a package's imports from its syntax trees and judges them by floors and library rules."""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path


class Place(Enum):
    """Where in a file an import stands."""

    TOP = "at module level"
    FUNCTION = "in a function"
    TYPING = "under TYPE_CHECKING"


@dataclass(frozen=True)
class Import:
    """One imported name: `from fastapi import params` in line 3 of module `runner`."""

    module: str
    name: str
    place: Place
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name} {self.place.value}"


@dataclass(frozen=True)
class Library:
    """Who may import a library, and why nobody else."""

    known_to: tuple[str, ...]
    why: str
    parts: Mapping[str, tuple[str, ...]] | None = None
    """Modules that may import only these names of it; `""` stands for every module."""
    at_top: tuple[str, ...] | None = None
    """The modules that may import it at module level; None for all that know it."""


@dataclass(frozen=True)
class Building:
    """A package in a folder, with the rules it is to keep."""

    folder: Path
    floors: Mapping[int, str]
    libraries: Mapping[str, Library]

    def problems(self) -> list[str]:
        """Every broken rule, as a sentence each; empty when all are kept."""
        found = self.imports()
        return [
            *self._unknown_modules(),
            *(problem for one in found for problem in self._judge(one)),
            *self._circles(found),
        ]

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Files by module name without the package's: "store.jobs", "store", and "__init__"."""
        modules = {}
        for file in sorted(self.folder.rglob("*.py")):
            parts = file.relative_to(self.folder).with_suffix("").parts
            is_package = parts[-1] == "__init__" and len(parts) > 1
            modules[".".join(parts[:-1] if is_package else parts)] = file
        return modules

    def imports(self) -> list[Import]:
        """Every import of every file, wherever it stands, with full names."""
        found = []
        for module, file in self.modules.items():
            is_package = file.name == "__init__.py"
            tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
            for node, place in walk(tree, Place.TOP):
                names = self._names(node, module, is_package)
                found += [Import(module, name, place, node.lineno) for name in names]
        return found

    def _names(self, node: ast.stmt | ast.Call, module: str, is_package: bool) -> list[str]:
        match node:
            case ast.Import(names=names):
                return [alias.name for alias in names]
            case ast.ImportFrom(module=origin, names=names, level=level):
                base = origin or ""
                if level:
                    path = [] if module == "__init__" else module.split(".")
                    path = [self.folder.name, *path]
                    kept = path[: len(path) - level + is_package]
                    base = ".".join([*kept, *([origin] if origin else [])])
                return [f"{base}.{alias.name}" for alias in names]
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                return [name]
        return []

    def _own_module(self, name: str) -> str | None:
        """The module of this package that an imported name leads to, None for a library's."""
        package, _, path = name.partition(".")
        if package != self.folder.name:
            return None
        modules = self.modules
        while path and path not in modules:
            path = path.rpartition(".")[0]
        return path or "__init__"

    def _floor(self, module: str) -> int | None:
        part = module.split(".")[0]
        return next((n for n, names in self.floors.items() if part in names.split()), None)

    def _unknown_modules(self) -> list[str]:
        unknown = {m.split(".")[0] for m in self.modules if self._floor(m) is None}
        return [
            f"{part} has no floor. Add it to FLOORS in tests/test_floors.py, "
            "one above the highest module that it imports."
            for part in sorted(unknown)
        ]

    def _judge(self, one: Import) -> Iterator[str]:
        own = self._own_module(one.name)
        if own is None:
            yield from self._judge_library(one)
            return
        here, there = self._floor(one.module), self._floor(own)
        if here is not None and there is not None and there > here:
            yield f"{one}: from floor {here} up to floor {there}. Imports point down."
        # The face loads its names at their first use, and tells type checkers of them like this:
        # it stands on top of everything, so that it can close no circle.
        if one.place is Place.TYPING and one.module != "__init__":
            yield f"{one}: this hides a circle. Move the word that both need to a lower floor."

    def _judge_library(self, one: Import) -> Iterator[str]:
        rule = self.libraries.get(one.name.split(".")[0])
        if rule is None:
            return
        parts = rule.parts or {}
        allowed = (*parts.get("", ()), *parts.get(one.module.split(".")[0], ()))
        known = is_among(one.module, rule.known_to) or is_among(one.name, allowed)
        if not known:
            yield f"{one}: only {', '.join(rule.known_to)} may. {rule.why}"
            return
        slow = rule.at_top is not None and not is_among(one.module, rule.at_top)
        if slow and one.place is Place.TOP:
            yield f"{one}: it is slow to load. Import it in the function that needs it."

    def _circles(self, found: list[Import]) -> list[str]:
        graph: dict[str, set[str]] = {}
        for one in found:
            own = self._own_module(one.name)
            if own is not None:
                graph.setdefault(one.module, set()).add(own)
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as circle:
            return [f"These import each other in a circle: {' -> '.join(reversed(circle.args[1]))}"]
        return []


def walk(node: ast.AST, place: Place) -> Iterator[tuple[ast.stmt | ast.Call, Place]]:
    """Every import below `node` with its place; `import_module("…")` counts as one."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import() | ast.ImportFrom():
                yield child, place
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from walk(child, Place.FUNCTION)
            case ast.If(test=test) if "TYPE_CHECKING" in ast.dump(test):
                yield from walk(child, Place.TYPING)
            case _:
                if isinstance(child, ast.Call) and is_dynamic_import(child):
                    yield child, place
                yield from walk(child, place)


def is_dynamic_import(call: ast.Call) -> bool:
    """True for `import_module(…)`, `importlib.import_module(…)` and `__import__(…)`."""
    match call.func:
        case ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"):
            return True
    return False


def is_among(name: str, allowed: tuple[str, ...]) -> bool:
    """True when `name` is one of `allowed` or lies below one of them."""
    return any(name == one or name.startswith(one + ".") for one in allowed)
