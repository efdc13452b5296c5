"""The time and the ids made of it."""

import os
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_lock = threading.Lock()
_last = 0
_noise: list[int] = []

_shift = timedelta()
_shift_ns = 0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    nanoseconds = time.time_ns() + _shift_ns
    # The fraction of a millisecond in 12 bits follows its whole ones in the stamp.
    stamp = nanoseconds * 4096 // 1_000_000
    with _lock:
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
        if not _noise:
            _refill()
        noise = _noise.pop()
    return UUID(int=((stamp >> 12) << 80) | ((stamp & 0xFFF) << 64) | _VERSION_AND_VARIANT | noise)


def _refill() -> None:
    # One call to the kernel for many ids: it gives up the GIL, which costs more than the bytes.
    fresh = struct.unpack("=512Q", os.urandom(4096))
    _noise.extend([number >> 2 for number in fresh])


def _forget_noise() -> None:
    _noise.clear()


# A forked child must not make the ids of its parent.
os.register_at_fork(after_in_child=_forget_noise)


def moment_of(job_id: UUID) -> datetime:
    """When a UUIDv7 was made, by its milliseconds."""
    return _EPOCH + timedelta(milliseconds=job_id.int >> 80)


def first_uuid7(moment: datetime) -> UUID:
    """The smallest UUIDv7 of `moment`: ids made before it are smaller, later ones larger."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=(max(milliseconds, 0) << 80) | _VERSION_AND_VARIANT)
