"""What was loaded before the first start is left out of later collections, once."""

import subprocess
import sys

PROGRAM = """
import asyncio, gc, sys
from fastapi_jobs import FastAPIJobs

async def start() -> int:
    async with FastAPIJobs(database_url=f"sqlite:///{sys.argv[1]}", freeze_heap=sys.argv[2] == "1"):
        return gc.get_freeze_count()

print(*[asyncio.run(start()) for _ in range(2)])
"""


def counts(folder: object, freeze: bool) -> list[int]:
    """How many objects are frozen after the first start and after the second."""
    words = [sys.executable, "-c", PROGRAM, f"{folder}/jobs.db", str(int(freeze))]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return [int(word) for word in done.stdout.split()]


def test_the_heap_is_frozen_once_in_a_process(tmp_path: object) -> None:
    first, second = counts(tmp_path, True)
    assert first > 10_000
    # What dies by its reference count leaves; nothing is added.
    assert first * 0.9 < second <= first


def test_a_setting_leaves_the_collector_alone(tmp_path: object) -> None:
    assert counts(tmp_path, False) == [0, 0]
