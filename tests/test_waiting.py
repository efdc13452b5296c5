"""How soon somebody who waits for another process's job looks for its end."""

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest

from fastapi_jobs import waiting
from fastapi_jobs.clock import uuid7
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.waiting import (
    FIRST_SECONDS,
    NEXT_SECONDS,
    QUICK_FOR,
    QUICK_SECONDS,
    SLOW_SECONDS,
    Waiters,
    pause,
)


def test_the_first_looks_come_soon_and_later_ones_less_often() -> None:
    assert pause(0, 0) == FIRST_SECONDS
    assert pause(0.01, 0.01) == NEXT_SECONDS
    assert NEXT_SECONDS < pause(0.08, 0.08) < QUICK_SECONDS
    assert pause(1, 0) == QUICK_SECONDS
    assert pause(QUICK_FOR, QUICK_FOR) == SLOW_SECONDS


class Ended:
    """A store in which every job has ended."""

    def listen(self, listener: object) -> Any:
        """Nothing is ever heard."""
        return lambda: None

    async def read(self, query: object, ids: list[UUID]) -> dict[UUID, JobStatus]:
        """What a look finds."""
        return dict.fromkeys(ids, JobStatus.SUCCEEDED)


async def test_who_waits_when_nobody_is_left_is_the_first_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = []

    def soon(waited: float, youngest: float) -> float:
        looking.append(asyncio.current_task())
        return 0

    monkeypatch.setattr(waiting, "pause", soon)
    waiters = Waiters(cast("Store", Ended()))
    for _ in range(2):
        assert await waiters.until(uuid7(), asyncio.Event(), None)
        await asyncio.sleep(0)
    waiters.close()
    first, second = looking
    assert first is not second
