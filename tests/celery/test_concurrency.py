"""A threads pool runs as many `async def` jobs at once as it has slots."""

from pathlib import Path

from fastapi_jobs import JobStatus
from fastapi_jobs.testing.conformance.gate import Gate
from tests.celery.conftest import Place
from tests.celery.tasks import add, wait_for_async
from tests.celery_worker import LIMIT

SLOTS = 100


async def test_a_hundred_slots_run_a_hundred_jobs_at_once(
    sqlite_place: Place, tmp_path: Path
) -> None:
    sqlite_place.settings["celery"] |= {"concurrency": SLOTS}
    async with sqlite_place.app() as app:
        sqlite_place.worker()
        with Gate(tmp_path) as gate:
            jobs = await app.enqueue_many([wait_for_async.s(str(gate))] * (SLOTS + 10))
            # None of them ends before the gate opens: these hundred run at once.
            await gate.reached(SLOTS)
            waiting = [job for job in jobs if (await job.refresh()).status is JobStatus.QUEUED]
            assert len(waiting) == 10
            assert len(gate.pids) == SLOTS
        assert len({await job.result(LIMIT) for job in jobs}) == 1
        assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
