"""What was loaded before the first start is left out of later collections, once."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, gc, sys
from fastapi_jobs import FastAPIJobs

async def start() -> int:
    freeze, dispatch = (each == "1" for each in sys.argv[2:])
    url = f"sqlite:///{sys.argv[1]}"
    async with FastAPIJobs(database_url=url, freeze_heap=freeze, dispatch=dispatch):
        return gc.get_freeze_count()

print(*[asyncio.run(start()) for _ in range(2)])
"""


def counts(folder: object, *, freeze: bool = True, dispatch: bool = True) -> list[int]:
    """How many objects are frozen after the first start and after the second."""
    flags = [str(int(each)) for each in (freeze, dispatch)]
    words = [sys.executable, "-c", PROGRAM, f"{folder}/jobs.db", *flags]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("dispatch", [True, False], ids=["runs jobs", "only enqueues"])
def test_the_heap_is_frozen_once_in_a_process(tmp_path: object, dispatch: bool) -> None:
    first, second = counts(tmp_path, dispatch=dispatch)
    assert first > 10_000
    # What dies by its reference count leaves; nothing is added.
    assert first * 0.9 < second <= first


def test_a_setting_leaves_the_collector_alone(tmp_path: object) -> None:
    assert counts(tmp_path, freeze=False) == [0, 0]


THRESHOLDS = """
import asyncio, gc, sys
from fastapi_jobs import FastAPIJobs

async def start(**settings: int) -> None:
    async with FastAPIJobs(database_url=f"sqlite:///{sys.argv[1]}", **settings):
        print(gc.get_threshold()[0])

gc.set_threshold(700, 10, 10)
asyncio.run(start(gc_threshold=0))
asyncio.run(start())
asyncio.run(start(gc_threshold=800))
gc.set_threshold(0)
asyncio.run(start())
"""


def test_the_threshold_of_young_objects_is_raised_never_lowered(tmp_path: object) -> None:
    words = [sys.executable, "-c", THRESHOLDS, f"{tmp_path}/jobs.db"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    # By 0 it is left alone; raised; not lowered; a collector that is off stays off.
    assert done.stdout.split() == ["700", "10000", "10000", "0"]
