"""The time and the ids made of it."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_lock = threading.Lock()
_last = 0
_noise = b""
_noise_used = 0

_shift = timedelta()
_shift_ns = 0

_VERSION_AND_VARIANT = (7 << 76) | (2 << 62)


def utc_now() -> datetime:
    """The wall clock, aware, in UTC."""
    return datetime.now(UTC) + _shift


def shift_clock(by: timedelta) -> None:
    """For tests: what this process takes for now is `by` away from the wall clock."""
    global _shift, _shift_ns, _last
    with _lock:
        _shift, _shift_ns = by, by // timedelta(microseconds=1) * 1000
        _last = 0  # ids made in a future that is taken back hold up no others


def uuid7() -> UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 random ones.

    Ids made by one process are strictly increasing, even when its clock is set back.
    """
    global _last
    milliseconds, rest = divmod(time.time_ns() + _shift_ns, 1_000_000)
    stamp = (milliseconds << 12) | (rest << 12) // 1_000_000
    with _lock:
        _last = stamp = max(stamp, _last + 1)
        noise = int.from_bytes(_eight_random_bytes(), "big") >> 2
    return UUID(int=((stamp >> 12) << 80) | ((stamp & 0xFFF) << 64) | _VERSION_AND_VARIANT | noise)


def _eight_random_bytes() -> bytes:
    # One call to the kernel for many ids: it gives up the GIL, which costs more than the bytes.
    global _noise, _noise_used
    if _noise_used >= len(_noise):
        _noise, _noise_used = os.urandom(4096), 0
    _noise_used += 8
    return _noise[_noise_used - 8 : _noise_used]


def _forget_noise() -> None:
    global _noise
    _noise = b""


# A forked child must not make the ids of its parent.
os.register_at_fork(after_in_child=_forget_noise)


def first_uuid7(moment: datetime) -> UUID:
    """The smallest UUIDv7 of `moment`: ids made before it are smaller, later ones larger."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(max(milliseconds, 0) << 80) | _VERSION_AND_VARIANT)
