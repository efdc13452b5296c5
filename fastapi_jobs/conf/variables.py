"""Environment variables as layers: which are ours, what they say, which are typing errors."""

import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fastapi_jobs.conf.files import plain
from fastapi_jobs.conf.layers import FILE_SUFFIX, Layer, Merged
from fastapi_jobs.conf.shape import KeyPath, Shape, known, known_keys, meant
from fastapi_jobs.conf.shown import shown
from fastapi_jobs.conf.urls import hide_password
from fastapi_jobs.errors import SettingsProblem

PREFIX = "FASTAPI_JOBS_"
ENVIRONMENT = "FASTAPI_JOBS_ENV"
MODULE = "FASTAPI_JOBS_SETTINGS_MODULE"
RESERVED = re.compile(rf"{ENVIRONMENT}|{MODULE}|{PREFIX}(TEST_\w*|FAILPOINT\w*)")
NEAR = 0.8

log = logging.getLogger("fastapi_jobs.conf")
_warned: set[str] = set()


def add_variables(merged: Merged, environ: Mapping[str, str]) -> None:
    """Lay every variable of ours over `merged`; note near misses, warn once of the unknown."""
    unknown: list[str] = []
    caster = Caster()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or RESERVED.fullmatch(name):
            continue
        path = _path(name, merged)
        shape = _shape(path)
        if shape is None:
            unknown += _judge_unknown(merged, name, path)
            continue
        try:
            value = caster.cast(name, environ[name], is_text=shape.is_text)
        except Exception as error:
            # dynaconf's tokens raise whatever they like
            merged.problems.append(
                SettingsProblem(
                    ".".join(path),
                    f"variable {name}",
                    shown(environ[name]),
                    f"cannot be read: {hide_password(str(error))}.",
                )
            )
            continue
        merged.add(Layer(f"variable {name}", Path.cwd(), _nested(path, value), "variables"))
    _warn_once(unknown)


def _path(name: str, merged: Merged) -> KeyPath:
    """The key that a variable names; a queue is matched in any case, as variables are shouted."""
    path: KeyPath = ()
    for part in name.removeprefix(PREFIX).split("__"):
        siblings = merged.take(path) if path else merged.values
        names = siblings if isinstance(siblings, dict) else {}
        same = [name for name in names if name.lower() == part.lower()]
        path = (*path, same[0] if same and part.lower() not in same else part.lower())
    return path


def _shape(path: KeyPath) -> Shape | None:
    shape: Shape | None = known()
    for name in path:
        if shape is None or not name:
            return None
        base = name.removesuffix(FILE_SUFFIX)
        from_file = Shape(is_text=True) if base in shape.keys else None
        shape = shape.each or shape.keys.get(name) or from_file
    return shape


class Caster:
    """Reads a variable's text as dynaconf does: TOML where it is TOML, tokens such as `@int`."""

    def __init__(self) -> None:
        self._reader: Any = None

    def cast(self, name: str, text: str, *, is_text: bool) -> object:
        """The value of `text`; raises whatever dynaconf does for a token that cannot be read."""
        if is_text and not text.startswith(("@", '"', "'")):
            return text  # a name such as 1.10 or true is meant as it is written
        if self._reader is None:
            from dynaconf import Dynaconf

            self._reader = Dynaconf(
                settings_files=[], loaders=[], load_dotenv=False, environments=False
            )
        key = name.replace("__", ".")  # its own "__" would make tables
        lowered = text.strip().lower()
        value = lowered if lowered in ("true", "false") else text
        self._reader.set(key, value, tomlfy=True, dotted_lookup=False)
        return plain(self._reader.get(key, dotted_lookup=False))


def _nested(path: KeyPath, value: object) -> dict[str, object]:
    for name in reversed(path):
        value = {name: value}
    return value if isinstance(value, dict) else {}


def _judge_unknown(merged: Merged, name: str, path: KeyPath) -> Iterator[str]:
    """An unknown variable near one of our keys, or in a table of ours, is a typing error."""
    spelled = {PREFIX + key.replace(".", "__").upper(): key for key in known_keys()}
    near = get_close_matches(name, [*spelled], n=1, cutoff=1 - (1 - NEAR) * _room(name))
    top = known().keys.get(path[0])
    if near or (len(path) > 1 and top is not None and top.is_table):
        table = _shape(path[:-1])
        cure = f"Did you mean {near[0]}?" if near else meant(path, table) if table else ""
        rule = "there is no such setting."
        merged.problems.append(SettingsProblem(name, f"variable {name}", "", rule, cure))
    else:
        yield name


def _room(name: str) -> float:
    """The prefix is the same in all names: only what follows it may count for the likeness."""
    return (len(name) - len(PREFIX)) / len(name)


def _warn_once(names: list[str]) -> None:
    fresh = [name for name in names if name not in _warned]
    if fresh:
        _warned.update(fresh)
        log.warning(
            "These variables begin with %s but name no setting, and are ignored: %s.",
            PREFIX,
            ", ".join(fresh),
        )
