"""The sentences of a refusal: the value in short, what it would come back as, the cure."""

from dataclasses import dataclass
from math import isfinite
from reprlib import Repr
from typing import Any

from pydantic_core import ErrorDetails

from .exact import LOST, Difference

SHORT = 60
"""How many characters of a value an error may show."""

_REPR = Repr()
_REPR.maxstring = _REPR.maxother = SHORT
_REPR.maxlevel = 3


@dataclass(frozen=True)
class Problem:
    """Why one named value cannot be taken: the place in it, what happens, and the cure."""

    name: str
    path: str
    text: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.cure}".rstrip()


def short(value: object) -> str:
    """The value's repr, cut; never the cost of an enormous one."""
    if type(value) is int and value.bit_length() > 4096:
        return f"of {value.bit_length()} bits"
    if isinstance(value, bytes | bytearray):
        value = bytes(value[:SHORT])
    text = _REPR.repr(value)
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."


def described(value: object) -> str:
    """ "the tuple (1, 2)"; None and its like stand alone."""
    if value is None or value is LOST:
        return repr(value)
    name, shown = type(value).__name__, short(value)
    says_its_type = shown.partition("(")[0].rpartition(".")[2] == name
    return f"the {shown}" if says_its_type else f"the {name} {shown}"


def of_difference(name: str, found: Difference, annotation: Any) -> Problem:
    """What would come back as something else, and how to keep it as it is."""
    if isinstance(found.given, float) and not isfinite(found.given):
        text = f"JSON has no {found.given}."
        return Problem(name, found.path, text, "Pass None, or a str.")
    text = f"{described(found.given)} would come back as {described(found.back)}."
    return Problem(name, found.path, text, _cure(found, annotation))


def of_validation(name: str, error: ErrorDetails) -> Problem:
    """What the annotation does not allow."""
    path = "".join(f"[{part!r:.40}]" for part in error["loc"][1:])
    rule = error["msg"][:200]
    if error["type"] in ("missing", "extra_forbidden"):
        return Problem(name, path, f"{rule}.")
    return Problem(name, path, f"{rule}, not {described(error['input'])}.")


def of_write_failure(name: str, value: object, error: Exception) -> Problem:
    """What has no JSON form at all."""
    reason, shown = str(error), described(value)
    if "surrogates" in reason:
        return Problem(
            name, "", f"{shown} holds a lone surrogate, which is not text.", "Pass bytes."
        )
    if "invalid utf-8" in reason:
        cure = 'Set ser_json_bytes and val_json_bytes to "base64" in the config of its class.'
        return Problem(name, "", f"{shown} holds bytes that are not UTF-8.", cure)
    if "Circular" in reason:
        return Problem(name, "", f"{shown} contains itself.", "Pass a tree, or ids.")
    reason = reason.removeprefix("Error serializing to JSON: ")[:200].rstrip(".")
    text = f"{shown} has no JSON form ({reason})."
    return Problem(name, "", text, "Pass JSON values, a pydantic model, or an id to look it up by.")


def _cure(found: Difference, annotation: Any) -> str:
    given, back = found.given, found.back
    where = "the value there" if found.path else "it"
    if type(given) is type(back):
        if type(given).__hash__ is None or back is LOST:
            return f"Annotate the type of what is inside {where}."
        return "Pass the value that it would become, or annotate another type."
    if annotation is Any:
        return f"Annotate {where}: {type_of(given)}."
    return f"Pass {_article(type(back).__name__)}, or annotate {where}: {type_of(given)}."


def _article(noun: str) -> str:
    if noun == "NoneType":
        return "None"
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def type_of(value: object) -> str:
    """The annotation that says what the value is, as a person would write it."""
    name = "None" if value is None else type(value).__name__
    if type(value) is tuple:
        inner = [type_of(one) for one in value[:5]]
        few = 0 < len(inner) <= 4
        return f"tuple[{', '.join(inner)}]" if few else f"tuple[{_common(list(value[:50]))}, ...]"
    if type(value) in (list, set, frozenset):
        return f"{name}[{_common(list(value)[:50])}]"  # type: ignore[call-overload]
    if type(value) is dict:
        return f"dict[{_common(list(value)[:50])}, {_common(list(value.values())[:50])}]"
    return name


def _common(values: list[object]) -> str:
    names = dict.fromkeys(type_of(one) for one in values)
    return " | ".join(names) if 0 < len(names) <= 3 else "Any"
