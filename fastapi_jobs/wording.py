"""Errors of tasks as text of a bounded size."""

import traceback
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

CUT_MARK = "\n… {left:,} characters cut …\n"


def cut(text: str, limit: int) -> str:
    """`text`, or its two ends around a mark that says how much is missing.

    `limit` counts bytes of UTF-8; a lone surrogate or NUL, which a database refuses, is replaced.
    """
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    if len(text) * 4 <= limit:
        return text.encode("utf-8", "replace").decode()
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    half = max(limit // 2 - 32, 16)
    head = encoded[:half].decode("utf-8", "ignore")
    tail = encoded[-half:].decode("utf-8", "ignore")
    return head + CUT_MARK.format(left=len(text) - len(head) - len(tail)) + tail


def error_type(error: BaseException) -> str:
    """The exception's class, with its module unless it is a builtin."""
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def text_of(value: object) -> str:
    """`str(value)`, whatever that does."""
    try:
        return str(value)
    except BaseException as broken:  # a task's own code: it may even call sys.exit()
        return f"<its str() failed: {type(broken).__name__}>"


def lenient_json(value: Mapping[str, Any]) -> bytes:
    """JSON of what a task reports: whatever has no JSON form becomes text."""
    try:
        return to_json(value, inf_nan_mode="null", bytes_mode="base64", fallback=text_of)
    except Exception:  # a lone surrogate, a circle, a key that is no text
        shown = {cut(str(key), 200): cut(_shown(each), 2000) for key, each in value.items()}
        return to_json(shown)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except BaseException as broken:
        return f"<its repr() failed: {type(broken).__name__}>"


def error_text(error: BaseException, limit: int) -> str:
    """`Class: message`, cut."""
    message = text_of(error)
    return cut(f"{error_type(error)}: {message}" if message else error_type(error), limit)


def traceback_text(error: BaseException, limit: int) -> str:
    """The formatted traceback, cut."""
    for _ in range(3):
        try:
            return cut("".join(traceback.format_exception(error)), limit)
        except SystemError:  # Python 3.11 parses code for it, which threads must not do at once
            continue
        except BaseException as broken:
            return f"<the traceback could not be formatted: {type(broken).__name__}>"
    return error_text(error, limit)
