"""Jobs that a broker's message names, and for a moment those that wait behind them.

A message costs a broker's worker more than a short job does. So a slot that has run the job of its
message goes on with due jobs of the same queue and task that no broker was told of: the transaction
that ends one of them claims the next.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from uuid import UUID

from fastapi_jobs.dispatcher import Dispatcher
from fastapi_jobs.runner import Call
from fastapi_jobs.store.claim_one import ClaimById, ClaimNext
from fastapi_jobs.store.lanes import Lane


async def run_named(
    dispatcher: Dispatcher, job_id: UUID, backend: str, seconds: float, goes_on: Callable[[], bool]
) -> bool:
    """Run a job if it may run here now, then others for so many seconds while `goes_on` allows it.

    Returns when the end of each is written: whether the message has done its work.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    if dispatcher.calls.find(job_id) is not None:
        # The message came again, past the broker's patience: it must not hold a second slot.
        return True
    calls = []
    call = await dispatcher.claim_one(partial(ClaimById, id=job_id, backend=backend))
    while call is not None:
        calls.append(call)
        await dispatcher.calls.freed(call)
        if loop.time() >= until or not goes_on() or dispatcher.is_limited(lane := _lane(call)):
            break
        call = await dispatcher.claim_one(partial(ClaimNext, lane=lane, backend=backend))
    for call in calls:
        await dispatcher.calls.over(call)
    return bool(calls)


def _lane(call: Call) -> Lane:
    claimed = call.claimed
    return Lane(claimed.queue, claimed.task, claimed.chosen)
