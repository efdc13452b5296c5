"""Arguments as a text that is equal for equal values, in every process.

A set has no order: its elements are stored as they come, which differs from process to process.
"""

import json
from collections import deque
from collections.abc import Mapping, Set
from typing import Any

from pydantic import RootModel


def canonical(plain: Any, value: Any) -> str:
    """`plain` as JSON with sorted keys and sets; it is what `value` was just written as."""
    return _text(_sorted(plain, value))


def _sorted(plain: Any, value: Any) -> Any:
    if isinstance(value, RootModel):
        return _sorted(plain, value.root)
    if isinstance(plain, dict):
        return {key: _sorted(one, other) for key, one, other in _parts(plain, value)}
    if not isinstance(plain, list) or not isinstance(value, Set | list | tuple | deque):
        return plain
    if len(plain) != len(value):  # written in a way of its own
        return plain
    elements = [_sorted(one, other) for one, other in zip(plain, value, strict=True)]
    return sorted(elements, key=_text) if isinstance(value, Set) else elements


def _parts(plain: dict[str, Any], value: Any) -> list[tuple[str, Any, Any]]:
    """Each member of an object with the value that it was written from, where that is known."""
    if not isinstance(value, Mapping):
        others = [getattr(value, name, None) for name in plain]
    elif plain.keys() <= value.keys():
        others = [value[name] for name in plain]
    elif len(value) == len(plain):  # keys that were written as texts, in their order
        others = [*value.values()]
    else:
        others = [None] * len(plain)
    return [(name, one, other) for (name, one), other in zip(plain.items(), others, strict=True)]


def _text(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))
