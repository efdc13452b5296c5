"""One look serves all open tabs: they may be many, and each asks again every few seconds."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_SECONDS = 2.0
LONGEST_KEPT_SECONDS = 30.0
REST = 40
"""A look that took long is kept so many times as long: looking takes a few percent of a core."""


class Shared(Generic[T]):
    """What `look` last showed; looked at anew when that is too old."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._lock = asyncio.Lock()
        self._seen: T | None = None
        self._until = 0.0

    async def get(self) -> T:
        """What is to be seen; whoever asks meanwhile waits for the same look."""
        async with self._lock:
            began = monotonic()
            if self._seen is None or began >= self._until:
                self._seen = await self._look()
                ended = monotonic()
                kept = max(KEPT_SECONDS, REST * (ended - began))
                self._until = ended + min(kept, LONGEST_KEPT_SECONDS)
            return self._seen

    def forget(self) -> None:
        """Look anew the next time: something was changed."""
        self._until = 0.0
