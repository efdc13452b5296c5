"""Every behaviour runs on every backend and every database: one started app for each pair."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.backends.celery import CeleryBackend, PreforkBackend
from fastapi_jobs.backends.event_loop import AsyncioBackend, ImmediateBackend
from fastapi_jobs.backends.process import ProcessBackend
from fastapi_jobs.backends.thread import ThreadBackend
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import Gate
from tests.celery_worker import CeleryWorker
from tests.conformance.rig import (
    AWAY,
    CRASH_CAP,
    EVENTS_FILE,
    LOG_CAP,
    ONE_LANE,
    TEXT_CAP,
    TWO_LANES,
    Abilities,
    Rig,
)
from tests.conftest import leftovers
from tests.servers import wait_until

ABILITIES = {
    "asyncio": Abilities.of(AsyncioBackend),
    "thread": Abilities.of(ThreadBackend),
    "process": Abilities.of(ProcessBackend),
    "immediate": Abilities.of(ImmediateBackend, runs_at_enqueue=True),
    # A child of prefork runs one job: what kills it is that job's own process.
    "celery-prefork": Abilities.of(PreforkBackend, shares_process=False, is_remote=True),
    "celery-threads": Abilities.of(CeleryBackend, is_remote=True),
    "celery-prefork-rabbitmq": Abilities.of(PreforkBackend, shares_process=False, is_remote=True),
}
ON_RABBITMQ = ("test_life", "test_retries", "test_cancel", "test_timeouts")
"""What a broker could spoil: run on RabbitMQ too, on one database."""

MODULES = ("calls", "ends", "flow", "told", "values")
CONCURRENCY = {"prefork": 4, "threads": 20}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out on RabbitMQ what is the same there as on Redis."""
    left_out = {each for each in items if _is_left_out(each)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [each for each in items if each not in left_out]


def _is_left_out(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if not str(parameters.get("backend_name", "")).endswith("-rabbitmq"):
        return False
    return item.path.stem not in ON_RABBITMQ or parameters["database_url"] != "postgresql"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """The app outlives each test here; `rig` looks for leftovers after its last one."""


@pytest.fixture(scope="package", params=list(ABILITIES))
def backend_name(request: pytest.FixtureRequest) -> str:
    """The backend setting under which the behaviours run."""
    name: str = request.param
    return name


@pytest.fixture(scope="package")
def abilities(backend_name: str) -> Abilities:
    """What the backend can do."""
    return ABILITIES[backend_name]


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A fresh database for all behaviours of one backend."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('conformance') / 'jobs.db'}"
        return
    with ExitStack() as stack:
        yield stack.enter_context(request.getfixturevalue("postgres").fresh_database())


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def rig(
    request: pytest.FixtureRequest,
    backend_name: str,
    abilities: Abilities,
    database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Rig]:
    """The started app, with its children warm."""
    settings: dict[str, Any] = {
        "database_url": database_url,
        "backend": backend_name,
        "migrate": True,
        "durability": "normal",
        "heartbeat_seconds": 0.5,
        "poll_seconds": 0.2,
        "shutdown_seconds": 5,
        "store_timeout": 60,
        "max_payload": TEXT_CAP,
        "max_log_lines": LOG_CAP,
        "max_crashes": CRASH_CAP,
        "process": {"max_workers": 4},
        # Children import these before they get a call, whose timeout that would use up.
        "task_modules": [f"tests.conformance.tasks.{name}" for name in MODULES],
        "queues": {
            ONE_LANE: {"max_running": 1},
            TWO_LANES: {"max_running": 2},
            AWAY: {"paused": True},
        },
        "observers": [
            "tests.conformance.rig:broken",
            "tests.conformance.rig:remember",
        ],
    }
    async with AsyncExitStack() as stack:
        if not abilities.is_remote:
            jobs = await stack.enter_async_context(FastAPIJobs(**settings))
            yield Rig(jobs, backend_name, abilities, settings, os.getpid())
        else:
            backend, pool, *brokers = backend_name.split("-")
            rabbit = request.getfixturevalue("rabbit_server") if brokers else None
            folder = tmp_path_factory.mktemp("celery")
            settings |= {
                "backend": backend,
                "celery": {
                    "broker_url": rabbit.url if rabbit else request.getfixturevalue("redis_url"),
                    "pool": pool,
                    "concurrency": CONCURRENCY[pool],
                },
            }
            stack.enter_context(events_noted(folder / "events"))
            jobs = await stack.enter_async_context(FastAPIJobs(**settings))
            worker = stack.enter_context(CeleryWorker(folder, settings))
            yield Rig(jobs, backend, abilities, settings, worker.process.pid)
    wait_until(lambda: not leftovers(), 30, lambda: f"left behind: {leftovers()}")


@contextmanager
def events_noted(file: Path) -> Iterator[None]:
    """Until the block ends, observers note their events in `file`."""
    file.touch()
    os.environ[EVENTS_FILE] = str(file)
    try:
        yield
    finally:
        del os.environ[EVENTS_FILE]


@pytest.fixture
def in_this_process(abilities: Abilities) -> None:
    """The test stops and starts apps that run jobs here; tests/celery does that to workers."""
    if abilities.is_remote:
        pytest.skip("its jobs run in other processes: see tests/celery")


@pytest.fixture(params=["def", "async def"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Whether the task is a plain or an async function."""
    which: Kind = request.param
    return which


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate that is opened at the end, so that no job waits for it for ever."""
    gate = Gate(tmp_path)
    yield gate
    gate.open()


@pytest.fixture
def lane(request: pytest.FixtureRequest) -> str:
    """The name of a queue of the test's own."""
    return f"lane-{abs(hash(request.node.nodeid))}"
