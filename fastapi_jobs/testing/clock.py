"""A clock to travel with: what fastapi_jobs takes for now, in this process."""

from datetime import datetime, timedelta

from fastapi_jobs.clock import shift_clock, utc_now
from fastapi_jobs.options import checked_moment
from fastapi_jobs.testing.errors import BackInTime


class Clock:
    """The time by which jobs are due, expire, are retried and are forgotten.

    It runs on like the wall clock, ahead of it by what was travelled. Only fastapi_jobs sees it:
    `datetime.now()` in a task, and child processes, do not.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    @property
    def now(self) -> datetime:
        """What time it is for jobs, aware, in UTC."""
        return utc_now()

    def travel(
        self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> datetime:
        """Go forward by so much; the new time. Nothing runs by that: call `drain` after it.

        Raises:
            BackInTime: that would be backwards.
        """
        by = timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
        return self._go(by, utc_now() + by)

    def travel_to(self, moment: datetime) -> datetime:
        """Go forward to `moment`, an aware datetime; the new time.

        Raises:
            BackInTime: it is past.
            InvalidOption: it is naive, so its moment is not known.
        """
        wanted = checked_moment("travel_to", moment, utc_now())
        return self._go(wanted - utc_now(), wanted)

    def _go(self, by: timedelta, wanted: datetime) -> datetime:
        if by < timedelta():
            raise BackInTime(wanted, utc_now())
        self._ahead += by
        shift_clock(self._ahead)
        return utc_now()

    def reset(self) -> None:
        """Take the wall clock's time again; the end of `jobs_test` does it."""
        self._ahead = timedelta()
        shift_clock(self._ahead)
