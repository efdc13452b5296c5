"""A traceback for a reader: the frames of fastapi_jobs, which say little, are folded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
_FRAME = re.compile(r'  File "(.+)", line \d+')
_OURS = re.compile(r"(?:^|.*[/\\])fastapi_jobs[/\\](.+\.py)$")


@dataclass(frozen=True, slots=True)
class Part:
    """Lines that belong together."""

    text: str
    folded: int = 0
    """How many frames of ours these lines are; 0 for what is to be read."""


def parts_of(traceback: str) -> list[Part]:
    """A formatted traceback in parts: what to read, and what to fold."""
    found = []
    for is_ours, chunks in groupby(_chunks(traceback), key=_is_ours):
        texts = list(chunks)
        found.append(Part("".join(texts).rstrip("\n"), len(texts) if is_ours else 0))
    return found


def _chunks(traceback: str) -> Iterator[str]:
    """Each frame with its lines of code; the lines that belong to no frame one by one."""
    frame = ""
    for line in traceback.splitlines(keepends=True):
        if _FRAME.match(line):
            if frame:
                yield frame
            frame = line
        elif frame and line.startswith("  "):
            frame += line
        else:
            if frame:
                yield frame
            frame = ""
            yield line
    if frame:
        yield frame


def _is_ours(chunk: str) -> bool:
    frame = _FRAME.match(chunk)
    return frame is not None and _names_our_file(frame[1])


@lru_cache(1000)
def _names_our_file(path: str) -> bool:
    """By the end of the path: the worker may have had the package in another folder."""
    found = _OURS.match(path)
    return found is not None and (PACKAGE / found[1].replace("\\", "/")).is_file()
