"""One look for all tabs, at most so often, and honest after a change."""

import asyncio

import pytest

from fastapi_jobs.admin.shared import KEPT_SECONDS, LONGEST_KEPT_SECONDS, REST, Shared


class Watched:
    """Something to look at, at a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.looks, self.takes = 1000.0, 0, 0.0
        monkeypatch.setattr("fastapi_jobs.admin.shared.monotonic", lambda: self.now)

    async def look(self) -> int:
        self.looks += 1
        await asyncio.sleep(0)
        self.now += self.takes
        return self.looks


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


async def test_all_who_ask_at_once_get_one_look(watched: Watched) -> None:
    seen = Shared(watched.look)
    assert await asyncio.gather(*(seen.get() for _ in range(20))) == [1] * 20


async def test_a_look_is_kept_for_a_while(watched: Watched) -> None:
    seen = Shared(watched.look)
    await seen.get()
    watched.now += KEPT_SECONDS - 0.01
    assert await seen.get() == 1
    watched.now += 0.01
    assert await seen.get() == 2


@pytest.mark.parametrize(
    ("takes", "kept"), [(0.01, KEPT_SECONDS), (0.4, 0.4 * REST), (60, LONGEST_KEPT_SECONDS)]
)
async def test_a_slow_look_is_kept_longer(watched: Watched, takes: float, kept: float) -> None:
    seen, watched.takes = Shared(watched.look), takes
    await seen.get()
    watched.now += kept - 0.001
    assert await seen.get() == 1
    watched.now += 0.002
    assert await seen.get() == 2


async def test_a_change_is_seen_at_once(watched: Watched) -> None:
    seen = Shared(watched.look)
    await seen.get()
    seen.forget()
    assert await seen.get() == 2


async def test_a_look_that_failed_is_tried_again() -> None:
    tries = iter([OSError("away"), None])

    async def look() -> str:
        if error := next(tries):
            raise error
        return "there"

    seen = Shared(look)
    with pytest.raises(OSError, match="away"):
        await seen.get()
    assert await seen.get() == "there"
