"""Which keys exist, read from the model, and which of them a typing error was meant to be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from fastapi_jobs.conf.model import AdminUser, QueueSettings, Settings
from fastapi_jobs.errors import did_you_mean

KeyPath = tuple[str, ...]


def dotted(path: KeyPath) -> str:
    """A key as a person writes it."""
    return ".".join(path)


_TEXTS = (str, str | None, Path | None)


@dataclass(frozen=True)
class Shape:
    """A table with known keys (`keys`), a table with free names (`each`), or a leaf."""

    keys: Mapping[str, "Shape"] = field(default_factory=dict)
    each: "Shape | None" = None
    is_text: bool = False

    @property
    def is_table(self) -> bool:
        """True when the value is a table."""
        return bool(self.keys) or self.each is not None


@cache
def known() -> Shape:
    """The shape of all settings."""
    keys = dict(_table(Settings).keys)
    celery = dict(keys["celery"].keys)
    celery["options"] = Shape(each=Shape())
    keys["celery"] = Shape(celery)
    admin = dict(keys["admin"].keys)
    admin["users"] = Shape(each=_table(AdminUser))
    keys["admin"] = Shape(admin)
    keys["queues"] = Shape(each=_table(QueueSettings))
    keys["routes"] = Shape(each=Shape(is_text=True))
    return Shape(keys)


def _table(model: type[BaseModel]) -> Shape:
    keys: dict[str, Shape] = {}
    for name, about in model.model_fields.items():
        kind = about.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys[name] = _table(kind)
        else:
            keys[name] = Shape(is_text=kind in _TEXTS)
    return Shape(keys)


@cache
def known_keys() -> tuple[str, ...]:
    """Every key with a fixed name, dotted."""
    return tuple(".".join(path) for path, _ in _leaves((), known()))


def _leaves(path: KeyPath, shape: Shape) -> Iterator[tuple[KeyPath, Shape]]:
    for name, child in shape.keys.items():
        yield (*path, name), child
        yield from _leaves((*path, name), child)


def meant(path: KeyPath, table: Shape) -> str:
    """ "Did you mean" for an unknown key of `table`, else the keys that a small table has."""
    name, prefix = path[-1].lower(), ".".join((*path[:-1], ""))
    elsewhere = [key for key in known_keys() if key.endswith(f".{name}")]
    if elsewhere and len(path) == 1:
        return f"Did you mean {elsewhere[0]!r}?"
    near = get_close_matches(name, table.keys, n=1)
    if near:
        return f"Did you mean {prefix + near[0]!r}?"
    if len(path) > 1:
        return f"Known in {'.'.join(path[:-1])}: {', '.join(table.keys)}."
    return did_you_mean(name, known_keys()).strip()
