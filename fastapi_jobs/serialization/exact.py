"""Are two values the same all the way down? Equal is not enough: 1, True and 1.0 are equal."""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from math import copysign
from typing import Any, NamedTuple

from pydantic import BaseModel

FLAT = frozenset({int, str, bool, type(None)})
"""Types of which two equal values are the same value."""


class Difference(NamedTuple):
    """The first place where what was given and what comes back part ways."""

    path: str
    given: object
    back: object

    def inside(self, step: str) -> "Difference":
        """The same difference, seen from one level further out."""
        return self._replace(path=step + self.path)


Comparison = Callable[[Any, Any], Difference | None]


class Lost:
    """Stands for an element that does not come back at all."""

    def __repr__(self) -> str:
        return "nothing"


LOST = Lost()


def first_difference(given: Any, back: Any) -> Difference | None:
    """The first difference, or None when `back` is as good as `given`."""
    kind = type(given)
    if kind is not type(back):
        # An int for a float is the one welcome conversion, as long as the float holds it exactly.
        if kind is int and type(back) is float and given == back:
            return None
        return Difference("", given, back)
    if kind in FLAT:
        return None if given == back else Difference("", given, back)
    return _comparison(kind)(given, back)


def _find_comparison(kind: type[Any]) -> Comparison:
    """How two values of this very type are compared."""
    if issubclass(kind, Enum):
        return _by(lambda given, back: given is back)
    for base, comparison in _COMPARISONS:
        if issubclass(kind, base):
            return comparison
    if dataclasses.is_dataclass(kind):
        return _in_fields
    return _by(lambda given, back: bool(given == back))


def _by(is_same: Callable[[Any, Any], bool]) -> Comparison:
    def compare(given: Any, back: Any) -> Difference | None:
        return None if is_same(given, back) else Difference("", given, back)

    return compare


def _in_sequence(given: Sequence[object], back: Sequence[object]) -> Difference | None:
    bounds = getattr(given, "maxlen", None), getattr(back, "maxlen", None)
    if len(given) != len(back) or bounds[0] != bounds[1]:
        return Difference("", given, back)
    kinds = list(map(type, given))
    # Long flat lists are compared without a Python call for each element.
    if FLAT.issuperset(kinds) and kinds == list(map(type, back)) and given == back:
        return None
    for index, (one, other) in enumerate(zip(given, back, strict=True)):
        if found := first_difference(one, other):
            return found.inside(f"[{index}]")
    return None


def _in_mapping(given: Mapping[object, object], back: Mapping[object, object]) -> Difference | None:
    factories = [getattr(one, "default_factory", None) for one in (given, back)]
    if factories[0] is not factories[1]:
        return Difference("", given, back)
    keys = {key: key for key in back}
    for key, value in given.items():
        if first_difference(key, keys.get(key, LOST)):
            return Difference("", given, back)
        if found := first_difference(value, back[key]):
            return found.inside(f"[{key!r:.40}]")
    return None if len(given) == len(back) else Difference("", given, back)


def _in_set(given: Set[object], back: Set[object]) -> Difference | None:
    elements = {element: element for element in back}
    same = len(given) == len(back) and not any(
        first_difference(element, elements.get(element, LOST)) for element in given
    )
    return None if same else Difference("", given, back)


def _in_fields(given: object, back: object) -> Difference | None:
    for name in _attributes(given):
        one, other = getattr(given, name, LOST), getattr(back, name, LOST)
        if found := first_difference(one, other):
            return found.inside(f".{name}")
    return None


def _attributes(value: Any) -> Iterable[str]:
    """Every attribute that is state: fields, extras, private ones; not what is computed."""
    names = dict.fromkeys(_declared(type(value)))
    if isinstance(value, BaseModel):
        names.update(dict.fromkeys(value.__pydantic_extra__ or ()))
        names.update(dict.fromkeys(value.__pydantic_private__ or ()))
    for name in getattr(value, "__dict__", {}).keys() - names.keys():
        computed = isinstance(getattr(type(value), name, None), cached_property)
        if not computed and name != "_sa_instance_state":
            names[name] = None
    return names


def _find_declared(kind: type[Any]) -> tuple[str, ...]:
    if issubclass(kind, BaseModel):
        return tuple(kind.model_fields)
    return tuple(field.name for field in dataclasses.fields(kind))


def _same_float(given: float, back: float) -> bool:
    return given == back and copysign(1, given) == copysign(1, back)


def _same_decimal(given: Decimal, back: Decimal) -> bool:
    """The same digits too: 1.0 and 1.00 are equal, yet not the same."""
    return given.as_tuple() == back.as_tuple()


def _same_clock(given: datetime | time, back: datetime | time) -> bool:
    """The same fields and UTC offset. `==` is of no use: it is False in a repeated hour."""
    if (given.tzinfo is None) != (back.tzinfo is None) or given.utcoffset() != back.utcoffset():
        return False
    # A fixed offset says which of two equal hours is meant; without one only `fold` does.
    fold_matters = given.utcoffset() is None
    if fold_matters and given.fold != back.fold:
        return False
    return given.replace(tzinfo=None, fold=0) == back.replace(tzinfo=None, fold=0)


_comparison: Callable[[Any], Comparison] = lru_cache(maxsize=1024)(_find_comparison)
_declared: Callable[[Any], tuple[str, ...]] = lru_cache(maxsize=1024)(_find_declared)

_COMPARISONS: list[tuple[type | tuple[type, ...], Comparison]] = [
    (float, _by(_same_float)),
    (Decimal, _by(_same_decimal)),
    ((datetime, time), _by(_same_clock)),
    (Mapping, _in_mapping),
    ((list, tuple, deque), _in_sequence),
    (Set, _in_set),
    (BaseModel, _in_fields),
]
