"""What the figures of `bench` mean for the settings."""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from fastapi_jobs.cli.measuring import Measured
from fastapi_jobs.conf import Settings

SLOW_COMMIT = 5.0
"""Milliseconds from which a commit is worth a word."""

WAIT_SECONDS = 1.0
"""A job that waits this long, on a network for example, is what the advice counts with."""

MOST_SLOTS = 1000


class Advice(NamedTuple):
    """One setting: its value now, the one to set, and why. Equal values: leave it."""

    key: str
    now: str
    value: str
    why: str

    @property
    def is_change(self) -> bool:
        """Whether there is something to do."""
        return self.now != self.value


def advise(settings: Settings, seen: Measured) -> Iterator[Advice]:
    """What to set on this machine."""
    yield _durability(settings, seen)
    yield _max_running(settings, seen)
    yield _max_workers(settings, seen)


def _durability(settings: Settings, seen: Measured) -> Advice:
    full, normal = seen.commit_full.p50, seen.commit_normal.p50
    if full < SLOW_COMMIT:
        why = f"a commit that survives a power cut takes {full:.1f} ms: that costs nothing to keep"
    else:
        why = (
            f'a commit takes {full:.1f} ms with "full" and {normal:.1f} ms with "normal". '
            "Concurrent enqueues share one, so it is the wait of one caller and no limit of the "
            'throughput. "normal" is for jobs that may be lost in a power cut'
        )
    return Advice("durability", f'"{settings.durability}"', '"full"', why)


def _max_running(settings: Settings, seen: Measured) -> Advice:
    now = settings.asyncio.max_running
    fits = now / seen.jobs_per_second
    wanted = min(max(ceil(seen.jobs_per_second * WAIT_SECONDS / 100) * 100, 100), MOST_SLOTS)
    why = (
        f"{now:,} slots keep {seen.jobs_per_second:,.0f} jobs/s busy if a job takes no longer than "
        f"{fits * 1000:,.0f} ms. For async jobs that mostly wait about {WAIT_SECONDS:g} s, "
        f"{wanted:,} use what this machine can do; each costs a little memory, and whatever the "
        "jobs call must bear so many at a time"
    )
    return Advice("asyncio.max_running", f"{now}", f"{max(now, wanted)}", why)


def _max_workers(settings: Settings, seen: Measured) -> Advice:
    now = settings.process.max_workers
    wanted = max(1, int(seen.cores))
    why = (
        f"this process may use {seen.cores:g} cores. More children only take turns; fewer leave "
        "cores to the API. Every process of the app has children of its own: divide by their number"
    )
    return Advice("process.max_workers", f"{now}", f"{min(now, wanted)}", why)
