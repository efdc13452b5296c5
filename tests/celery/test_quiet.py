"""A quieted Celery worker gives back what the broker gives it; others run it."""

import os
from typing import Any
from uuid import UUID

from fastapi_jobs import FastAPIJobs, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.workers import QuietWorker
from fastapi_jobs.testing.conformance.gate import Gate, eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, wait_for
from tests.celery_worker import LIMIT


async def workers_of(app: FastAPIJobs) -> dict[UUID, int]:
    """The Celery processes that run jobs, with their process ids."""
    rows = await app.runtime.store.read(queries.get_workers)
    return {row.id: row.pid for row in rows if row.pid != os.getpid()}


async def quiet(app: FastAPIJobs, *, be: bool) -> set[int]:
    """Quiet all that there are, or let them go on; their process ids."""
    found = await workers_of(app)
    for each in found:
        await app.runtime.store.write(QuietWorker(each, be))
    return set(found.values())


async def count_of(app: FastAPIJobs, count: int) -> None:
    """Wait for so many of them."""

    async def are_there() -> bool:
        return len(await workers_of(app)) == count

    await eventually(are_there, f"{count} processes")


PATIENT: dict[str, Any] = {"lease_seconds": 180}
"""So long it takes that a lost message is found."""

STEADY = {"broker_transport_options": {"socket_timeout": 30.0}}
"""A Redis that stands still for a while cuts no connection, and so loses no message."""


async def test_another_worker_runs_its_jobs(place: Place, gate: Gate) -> None:
    place.settings["celery"]["options"] = STEADY
    processes = 2 if place.settings["celery"]["pool"] == "prefork" else 1
    async with place.app(**PATIENT) as app:
        place.worker(name="first", **PATIENT)
        await count_of(app, processes)
        running = await wait_for.enqueue(str(gate))
        await gate.reached()
        quieted = await quiet(app, be=True)
        place.worker(name="second", **PATIENT)
        await count_of(app, 2 * processes)
        gate.open()
        assert await running.result(LIMIT) in quieted
        jobs = [await wait_for.enqueue(str(gate)) for _ in range(20)]
        assert not {await each.result(LIMIT) for each in jobs} & quieted


async def test_with_all_quieted_jobs_stay_with_the_database(sqlite_place: Place) -> None:
    sqlite_place.settings["celery"]["options"] = STEADY
    async with sqlite_place.app(**PATIENT) as app:
        sqlite_place.worker(**PATIENT)
        assert await (await add.enqueue(1, 1)).result(LIMIT) == 2
        await quiet(app, be=True)
        job = await add.enqueue(1, 2)
        store, relay = app.runtime.store, app.runtime.relay
        assert relay is not None
        await eventually(lambda: not relay._windows.knows(add.name), "nobody is there to tell")

        async def is_back() -> bool:
            record = await store.read(queries.get_job, job.id)
            return record is not None and record.published_at is None

        await eventually(is_back, "it goes back")
        assert (await job.refresh()).status is JobStatus.QUEUED
        await quiet(app, be=False)
        assert await job.result(LIMIT) == 3
