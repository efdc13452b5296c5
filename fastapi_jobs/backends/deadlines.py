"""By when the functions of a prefork pool must end, in memory that parent and children share.

A function in C that keeps the GIL keeps its whole process from doing anything, its own end
included. So each child writes down here what it runs and until when; the parent looks.
"""

import mmap
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

CHILDREN = 256
"""How many children of one pool are looked after."""

_ENTRY = struct.Struct("=dQQ16s")
_WHEN = struct.Struct("=d")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A job that must have ended by now, and the child that ran it when this was written."""

    index: int
    at: float
    pid: int
    fence: int
    job_id: UUID


class Deadlines:
    """Made by the parent before it has children; each of these writes its own entry alone."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, CHILDREN * _ENTRY.size)

    def set(self, index: int, job_id: UUID, fence: int, seconds: float) -> None:
        """Child `index` must have ended this job in so many seconds."""
        if index < CHILDREN:
            at, place = time.monotonic() + seconds, index * _ENTRY.size
            self.clear(index)
            _ENTRY.pack_into(self._memory, place, 0.0, os.getpid(), fence, job_id.bytes)
            # Last, and at once: who sees a time sees all that belongs to it.
            _WHEN.pack_into(self._memory, place, at)

    def clear(self, index: int) -> None:
        """Child `index` runs nothing that must end."""
        if index < CHILDREN:
            _WHEN.pack_into(self._memory, index * _ENTRY.size, 0.0)

    def passed(self) -> Iterator[Deadline]:
        """The deadlines that are over."""
        now = time.monotonic()
        for index, (at, *rest) in enumerate(_ENTRY.iter_unpack(self._memory[:])):
            if 0.0 < at <= now:
                yield _deadline(index, at, *rest)

    def stands(self, deadline: Deadline) -> bool:
        """Whether it is still there, unchanged."""
        entry = _ENTRY.unpack_from(self._memory, deadline.index * _ENTRY.size)
        return _deadline(deadline.index, *entry) == deadline


def _deadline(index: int, at: float, pid: int, fence: int, job_id: bytes) -> Deadline:
    return Deadline(index, at, pid, fence, UUID(bytes=job_id))
