"""When a failed job runs again: arithmetic on plain values."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how soon a failed job runs again; n retries are n + 1 attempts.

    The n-th retry waits `delay * factor ** (n - 1)` seconds, `cap` at the most, and with `jitter`
    up to a quarter more. `on` and `unless` are exception types, `when` has the last word.

    Raises:
        ValueError: a number out of its range, in a sentence.
    """

    max: int = 3
    on: tuple[type[BaseException], ...] = (Exception,)
    unless: tuple[type[BaseException], ...] = ()
    when: Callable[[BaseException], bool] | None = None
    delay: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.max, bool) or not isinstance(self.max, int) or self.max < 0:
            raise ValueError(f"Retry(max={self.max!r}): give a whole number from 0. 0 is no retry.")
        for name in ("delay", "cap"):
            if getattr(self, name) < 0:
                raise ValueError(f"Retry({name}={getattr(self, name)!r}): give seconds from 0.")
        if self.factor < 1:
            raise ValueError(
                f"Retry(factor={self.factor!r}): give 1 or more; less would shrink the waits."
            )
        for name in ("on", "unless"):
            object.__setattr__(self, name, _types(name, getattr(self, name)))

    def covers(self, error: BaseException) -> bool:
        """Whether `error` is one to try again after."""
        if not isinstance(error, self.on) or isinstance(error, self.unless):
            return False
        return self.when is None or bool(self.when(error))

    def wait(self, retry: int) -> float:
        """Seconds before the `retry`-th retry, counted from 1."""
        # The power of a large count overflows a float long after it has passed any cap.
        seconds = min(self.cap, self.delay * self.factor ** min(retry - 1, 64))
        return seconds * (1 + random.random() / 4) if self.jitter else seconds


def _types(name: str, value: object) -> tuple[type[BaseException], ...]:
    given = value if isinstance(value, tuple) else (value,)
    for each in given:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise ValueError(f"Retry({name}={value!r}): give exception types, such as (OSError,).")
    return given
