"""Exports: every job once, whole, with little in memory."""

from uuid import UUID

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.export import export
from fastapi_jobs.store.store import Store
from tests.store.driving import claim, failure_of, finish_of, queued, register


async def chunks_of(
    store: Store, which: JobFilter, chunk: int, *, newest: bool = False
) -> list[list[JobRecord]]:
    """What an export gives."""
    return [list(some) async for some in export(store, which, chunk=chunk, newest=newest)]


async def test_every_job_once(store: Store) -> None:
    jobs = queued(store, 10)
    for chunk, sizes in ((3, [3, 3, 3, 1]), (5, [5, 5]), (50, [10])):
        found = await chunks_of(store, JobFilter(), chunk)
        assert [len(some) for some in found] == sizes
        assert [job.id for some in found for job in some] == jobs
    found = await chunks_of(store, JobFilter(), 4, newest=True)
    assert [job.id for some in found for job in some] == jobs[::-1]
    assert await chunks_of(store, JobFilter(task="none"), 4) == []


async def test_they_are_whole(store: Store) -> None:
    queued(store, 2, tags=("x",), owner="ann", meta='{"k":1}')
    good, bad = claim(store, register(store))
    store.write_sync(finish_of(good, result='"r"'))
    end = failure_of(bad)
    end.finish.error = "e" * 10_000
    store.write_sync(end)
    for which in (JobFilter(), JobFilter(tag="x", owner="ann")):
        [found] = await chunks_of(store, which, 5)
        for job, claimed in zip(found, (good, bad), strict=True):
            record = store.read_sync(queries.get_job, claimed.id)
            assert record is not None
            assert job.model_dump() == record.model_dump()


async def test_rare_jobs_behind_many_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without any are passed over."""
    monkeypatch.setattr(queries, "SCAN_LIMIT", 5)
    rare: list[UUID] = []
    for _ in range(3):
        rare += queued(store, owner="ann", task="rare")
        queued(store, 30, owner="ann")
        queued(store, 30, owner="bob", task="rare")
    found = await chunks_of(store, JobFilter(owner="ann", task="rare"), 2)
    assert all(found)
    assert [job.id for some in found for job in some] == rare


async def test_jobs_made_meanwhile(store: Store) -> None:
    """None is passed over or comes twice."""
    jobs = queued(store, 4)
    which = JobFilter(statuses=[JobStatus.QUEUED])
    seen: list[UUID] = []
    async for some in export(store, which, chunk=2):
        if not seen:
            jobs += queued(store)
        seen += [job.id for job in some]
    assert seen == jobs
