"""A store on each database, settings, tasks and workers to explain jobs with."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.conf import Settings, load
from fastapi_jobs.explaining import EVERYBODY, Reason, Viewer, explain_sync
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.rows import Claimed, NewJob
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.workers import RegisterWorker
from fastapi_jobs.tasks import task
from tests.store.driving import claim, open_store

TASK, LIMITED = "explained.plain", "explained.limited"


def _plain() -> None: ...
def _limited() -> None: ...


@pytest.fixture(autouse=True)
def tasks() -> Iterator[None]:
    """Two registered tasks; the second runs one at a time."""
    task(name=TASK)(_plain)
    task(name=LIMITED, max_running=1)(_limited)
    yield
    registry.remove(TASK)
    registry.remove(LIMITED)


class World:
    """Jobs and workers in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.settings: Settings = self.change()

    def change(self, **settings: Any) -> Settings:
        """Other settings from now on."""
        self.settings = load(database_url="sqlite:////tmp/unused.db", **settings)
        return self.settings

    def job(self, task: str = TASK, queue: str = "q", **changes: Any) -> UUID:
        """A new waiting job."""
        job = NewJob(id=uuid7(), task=task, queue=queue, args="{}", created_at=utc_now(), **changes)
        self.store.write_sync(InsertJobs([job]))
        return job.id

    def worker(self, slots: int = 5, **changed: Any) -> UUID:
        """A live worker that knows both tasks."""
        values: dict[str, Any] = {
            "id": uuid7(),
            "host": "here",
            "machine": "",
            "pid": 7,
            "version": "0",
            "backends": '["asyncio"]',
            "slots": json.dumps({"asyncio": slots}),
            "queues": "[]",
            "tasks": json.dumps([TASK, LIMITED]),
            "started_at": utc_now(),
            "heartbeat_at": utc_now() + timedelta(hours=1),
        }
        record = WorkerRecord(**values | changed)
        self.store.write_sync(RegisterWorker(record))
        return record.id

    def run(self, worker: UUID, count: int = 1, *, idle: bool = False) -> list[Claimed]:
        """Let a worker claim; one that is idle takes a suspect first."""
        return claim(self.store, worker, count, at=utc_now(), idle=idle)

    def reasons(self, job_id: UUID, viewer: Viewer = EVERYBODY) -> dict[str, Reason]:
        """The reasons by code, in their order."""
        found = explain_sync(self.store, self.settings, job_id, viewer).reasons
        assert len({each.code for each in found}) == len(found)
        json.dumps([dict(each.values) for each in found])
        return {each.code.value: each for each in found}


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A fresh store; the test runs on both databases."""
    with open_store(database_url) as store:
        yield World(store)
