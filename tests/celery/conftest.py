"""A folder, a database, a Redis database of its own, and Celery workers on them."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.testing.conformance.gate import Gate
from tests.celery_worker import COMMAND, CeleryWorker
from tests.redis_server import RedisServer

_numbers = itertools.count(1)


class Place:
    """Where an app enqueues and Celery workers run."""

    def __init__(self, folder: Path, stack: ExitStack, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        self._stack = stack

    def worker(
        self,
        *words: str,
        name: str = "worker",
        command: tuple[str, ...] = COMMAND,
        **changes: Any,
    ) -> CeleryWorker:
        """A running worker; it ends with the test."""
        settings = self.settings | changes
        worker = CeleryWorker(self.folder, settings, *words, command=command, name=name)
        return self._stack.enter_context(worker)

    def app(self, **changes: Any) -> FastAPIJobs:
        """An app on the same database, not started."""
        return FastAPIJobs(**(self.settings | changes))


def trouble(app: FastAPIJobs) -> str | None:
    """What the app's relay says of its broker."""
    return app.runtime.broker_trouble


@pytest.fixture(params=["prefork", "threads"])
def pool(request: pytest.FixtureRequest) -> str:
    """How the workers run jobs."""
    name: str = request.param
    return name


@pytest.fixture
def broker(redis_server: RedisServer) -> str:
    """The URL of a database of the shared Redis that no other test of this run uses."""
    return f"redis://127.0.0.1:{redis_server.port}/{next(_numbers) % 15 + 1}"


def settings_of(database_url: str, broker_url: str, pool: str) -> dict[str, Any]:
    """Quick ones."""
    return {
        "backend": "celery",
        "database_url": database_url,
        "migrate": True,
        "durability": "normal",
        "heartbeat_seconds": 0.5,
        "lease_seconds": 8,
        "poll_seconds": 0.2,
        "shutdown_seconds": 20,
        "task_modules": ["tests.celery.tasks"],
        "celery": {"broker_url": broker_url, "pool": pool, "concurrency": 2},
    }


@pytest.fixture
def place(tmp_path: Path, database_url: str, broker: str, pool: str) -> Iterator[Place]:
    """The test runs on both databases and in both pools."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack, settings_of(database_url, broker, pool))


@pytest.fixture
def sqlite_place(tmp_path: Path, sqlite_url: str, own_redis: RedisServer) -> Iterator[Place]:
    """One pool, one database, and a Redis that the test may hurt."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack, settings_of(sqlite_url, own_redis.url(), "threads"))


@pytest.fixture
async def app(place: Place) -> AsyncIterator[FastAPIJobs]:
    """The started app of `place`."""
    async with place.app() as jobs:
        yield jobs


@pytest.fixture
async def sqlite_app(sqlite_place: Place) -> AsyncIterator[FastAPIJobs]:
    """The started app of `sqlite_place`."""
    async with sqlite_place.app() as jobs:
        yield jobs


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is opened at the end, so that no job waits for it for ever."""
    with Gate(tmp_path) as gate:
        yield gate
