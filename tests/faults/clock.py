"""A wall clock that a test can set while the process runs.

The package asks the system for the time in one module only; its names for the system's clocks are
replaced here, before anything runs.
"""

import os
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace

import fastapi_jobs.clock

FILE = "clock-offset"


def offset() -> float:
    """By how many seconds the clock is wrong now."""
    try:
        return float((Path(os.environ["FAULTS_FOLDER"]) / FILE).read_text() or 0)
    except FileNotFoundError:
        return 0.0


class _Wrong:
    @staticmethod
    def now(zone: tzinfo) -> datetime:
        return datetime.now(zone) + timedelta(seconds=offset())


def install() -> None:
    """From now on this process believes the file."""
    wrong_time = SimpleNamespace(time_ns=lambda: time.time_ns() + int(offset() * 1e9))
    vars(fastapi_jobs.clock).update(datetime=_Wrong, time=wrong_time)


def set_offset(folder: Path, seconds: float) -> None:
    """Set the clock of every process that works in `folder`."""
    new = folder / f"{FILE}.new"
    new.write_text(str(seconds))
    new.replace(folder / FILE)
