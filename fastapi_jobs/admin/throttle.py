"""Slows down who guesses passwords."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FREE_TRIES = 5
LONGEST_WAIT = 300.0
FORGET_SECONDS = 900.0
MOST_KEYS = 10_000


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0


class Throttle:
    """Counts failures by key; after `FREE_TRIES` each one doubles the wait, up to five minutes.

    Each process counts its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, *keys: str) -> float:
        """Seconds until a try is allowed again; 0 is now."""
        now = self._clock()
        return max((self._wait(each, now) for each in keys), default=0.0)

    def _wait(self, key: str, now: float) -> float:
        found = self._failures.get(key)
        if found is None or found.count < FREE_TRIES:
            return 0.0
        wait = min(2.0 ** (found.count - FREE_TRIES), LONGEST_WAIT)
        return max(found.last + wait - now, 0.0)

    def failed(self, *keys: str) -> None:
        """A try failed."""
        now = self._clock()
        for key in keys:
            found = self._failures.setdefault(key, _Failures())
            if now - found.last > FORGET_SECONDS:
                found.count = 0
            found.count += 1
            found.last = now
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """A try was right: start again."""
        for key in keys:
            self._failures.pop(key, None)
