"""Who runs beside whom in one process of a Celery worker: a suspect alone, but not at any price."""

import asyncio

from fastapi_jobs.celery_worker import _Turns

FOREVER = 3600.0


class Job:
    """Takes a turn and keeps it until it is told to end."""

    def __init__(self, turns: _Turns, *, alone: bool = False) -> None:
        self.may_end = asyncio.Event()
        self.began: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(turns, alone))

    async def _run(self, turns: _Turns, alone: bool) -> None:
        async with turns.take(alone) as is_mine:
            self.began.set_result(is_mine)
            if is_mine:
                await self.may_end.wait()

    async def end(self) -> None:
        """Let it end."""
        self.may_end.set()
        await self._task


async def settled(*jobs: Job) -> list[bool]:
    """Who has begun, once nothing moves any more."""
    for _ in range(20):
        await asyncio.sleep(0)
    return [job.began.done() for job in jobs]


async def test_a_suspect_waits_for_others_and_they_for_it() -> None:
    turns = _Turns(FOREVER)
    first, second = Job(turns), Job(turns)
    assert await settled(first, second) == [True, True]
    suspect, newcomer = Job(turns, alone=True), Job(turns)
    assert await settled(suspect, newcomer) == [False, False]
    assert turns.is_wanted
    await first.end()
    assert await settled(suspect, newcomer) == [False, False]
    await second.end()
    assert await suspect.began
    assert await settled(newcomer) == [False]
    await suspect.end()
    assert await newcomer.began
    await newcomer.end()


async def test_a_suspect_gives_up_beside_a_long_job() -> None:
    turns = _Turns(drain=0.01, rest=FOREVER)
    long = Job(turns)
    await long.began
    suspect, newcomer = Job(turns, alone=True), Job(turns)
    assert not await suspect.began
    assert await newcomer.began
    assert not turns.is_wanted
    # From then on it holds nobody up, and takes a free turn all the same.
    again = Job(turns, alone=True)
    assert not await again.began
    await long.end()
    await newcomer.end()
    last = Job(turns, alone=True)
    assert await last.began
    beside = Job(turns)
    assert await settled(beside) == [False]
    await last.end()
    await beside.end()


async def test_two_suspects_run_one_after_the_other() -> None:
    turns = _Turns(FOREVER)
    first, second = Job(turns, alone=True), Job(turns, alone=True)
    assert await settled(first, second) == [True, False]
    await first.end()
    assert await second.began
    await second.end()
