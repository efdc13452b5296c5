"""What Redis pub/sub tells the processes of a Celery worker, which hardly ever look themselves."""

from typing import Any

from fastapi_jobs import JobStatus
from fastapi_jobs.testing.conformance.gate import Gate
from tests.celery.conftest import Place
from tests.celery.tasks import add, wait_for_async
from tests.celery.test_quiet import STEADY
from tests.celery_worker import LIMIT

SELDOM: dict[str, Any] = {"poll_seconds": 300, "heartbeat_seconds": 100, "lease_seconds": 300}
"""Far above LIMIT: what happens within that was told."""


async def test_a_worker_publishes_for_an_app_that_only_enqueues(place: Place, broker: str) -> None:
    place.settings |= SELDOM | {"redis_url": broker}
    place.settings["celery"]["options"] = STEADY
    place.worker()
    async with place.app(dispatch=False):
        for number in range(3):
            assert await (await add.enqueue(1, number)).result(LIMIT) == 1 + number


async def test_a_cancel_reaches_the_worker_at_once(place: Place, broker: str, gate: Gate) -> None:
    place.settings |= SELDOM | {"redis_url": broker}
    place.settings["celery"]["options"] = STEADY
    place.worker()
    async with place.app():
        job = await wait_for_async.enqueue(str(gate))
        await gate.reached()
        await job.cancel()
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED
