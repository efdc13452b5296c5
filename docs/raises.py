"""Our docstrings for the site: their `Raises:` becomes a list, with or without a description.

The parsers of mkdocstrings leave out an error that is only named.
"""

import re
from typing import Any

from griffe import Extension, Object

_RAISES = re.compile(r"^Raises:\n((?:    .*(?:\n|$))+)", re.MULTILINE)
_NAME = re.compile(r"\b[A-Z]\w+\b")


class ListOfRaises(Extension):
    """Rewrites the docstring of each object."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe once an object is read."""
        if obj.docstring is not None:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    """The docstring with its `Raises:` as Markdown."""
    return _RAISES.sub(_list, text)


def _list(section: re.Match[str]) -> str:
    lines = [""]
    for line in section[1].splitlines():
        if line.startswith("     "):  # goes on from the line before
            lines[-1] += " " + line.strip()
            continue
        names, colon, why = line.strip().partition(":")
        lines.append("- " + _NAME.sub(r"`\g<0>`", names) + colon + why)
    return "**Raises**\n" + "\n".join(lines)
