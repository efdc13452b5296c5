"""Fixtures for every test: fresh databases on real servers, and a look at what was left behind."""

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi._compat import v2
from fastapi.dependencies import models

from fastapi_jobs import heap
from fastapi_jobs.backends.threads import CALL_THREADS
from fastapi_jobs.current import runtimes
from fastapi_jobs.registry import registry
from fastapi_jobs.store import database
from run import POSTGRES_BIN_VARIABLE
from tests.rabbit_server import RabbitServer, find_rabbit
from tests.redis_server import RedisServer, find_redis
from tests.servers import PostgresServer, find_postgres, wait_until

GRACE = 30.0
HERE = Path(__file__).parent

TASKS_OF_OTHERS = {"tests.admin": ("tests.api",)}
"""Folders whose tests enqueue tasks of another folder's tests."""

# A shell makes what it starts in the background deaf to Ctrl-C, and so whatever the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

heap._frozen = True  # a frozen heap keeps the apps of the tests before it; see test_heap.py


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves one of our threads or process children running."""
    yield
    try:
        wait_until(lambda: not leftovers(), GRACE)
    except TimeoutError:
        left = ", ".join(leftovers())
        pytest.fail(f"This test left behind: {left}. Shut its FastAPIJobs or backend down.")


@pytest.fixture(autouse=True)
def no_app_outlives_its_test() -> Iterator[None]:
    """FastAPI's caches keep endpoints of earlier tests' apps: one that was never opened would make
    others ambiguous, and thousands of them fill the memory.
    """
    earlier = runtimes()
    yield
    for cache in _caches_of_fastapi():
        cache.cache_clear()
    for each in runtimes():
        if not each.has_opened and each not in earlier:
            each.is_closed = True


@pytest.fixture(autouse=True)
def patient_connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test process that stood still while it connected to PostgreSQL may go on."""
    if request.path.stem != "test_stalls":
        monkeypatch.setitem(database.NETWORK, "connect_timeout", 60)


@functools.cache
def _caches_of_fastapi() -> list[Any]:
    found = [each for module in (models, v2) for each in vars(module).values()]
    return [each for each in found if hasattr(each, "cache_clear")]


@pytest.fixture(autouse=True)
def only_its_own_routes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the `api=True` tasks of other folders: every app would make a route for each of them."""
    folder = ".".join(request.path.parent.relative_to(HERE.parent).parts)
    shown = tuple(f"{each}." for each in (folder, *TASKS_OF_OTHERS.get(folder, ())))
    hidden = {
        name: each
        for name, each in registry.items()
        if each.options.api
        and each.module.startswith("tests.")
        and not each.module.startswith(shown)
    }
    for name in hidden:
        registry.remove(name)
    yield
    for name, each in hidden.items():  # not by `add`, which tells every living router
        registry._tasks.setdefault(name, each)


def leftovers() -> list[str]:
    """Our threads and process children that still live in or below this process."""
    threads = [
        f"thread {thread.name!r}"
        for thread in threading.enumerate()
        if thread.name.startswith(CALL_THREADS)
        or (thread.name.startswith("fastapi-jobs") and not thread.daemon)
    ]
    return threads + [f"child process {pid}" for pid in _our_children()]


def _our_children() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "fastapi_jobs._child" in child.cmdline():
                found.append(child.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.fixture(scope="session", autouse=True)
def chosen_postgres() -> str | None:
    """The PostgreSQL folder that `run.py` chose; no FASTAPI_JOBS_ variable reaches the tests."""
    chosen = os.environ.get(POSTGRES_BIN_VARIABLE)
    for name in [name for name in os.environ if name.startswith("FASTAPI_JOBS_")]:
        del os.environ[name]
    return chosen


@pytest.fixture(scope="session")
def postgres_bin(chosen_postgres: str | None) -> Path:
    """The folder of the PostgreSQL programs."""
    return find_postgres(chosen_postgres)


@pytest.fixture(scope="session")
def postgres(postgres_bin: Path) -> Iterator[PostgresServer]:
    """The PostgreSQL that the whole run shares: never stop it, see `postgres_server_factory`."""
    with PostgresServer(postgres_bin) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis that the whole run shares: never stop it, see `own_redis`."""
    with RedisServer(find_redis()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    """The URL of that Redis."""
    return redis_server.url()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """The RabbitMQ that the whole run shares: never stop it."""
    with RabbitServer(find_rabbit()) as server:
        yield server


@pytest.fixture
def own_redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """A Redis of the test's own, to stop and to flush."""
    with RedisServer(redis_server.program) as server:
        yield server


@pytest.fixture
def postgres_server_factory(postgres_bin: Path) -> Iterator[Callable[..., PostgresServer]]:
    """Make started servers of the test's own, to stop, pause or kill; takes their arguments."""
    with ExitStack() as servers:

        def start(*, fsync: bool = False, max_connections: int = 200) -> PostgresServer:
            server = PostgresServer(postgres_bin, fsync=fsync, max_connections=max_connections)
            return servers.enter_context(server)

        yield start


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database that ends with the test."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the test twice, each time on a fresh, empty database."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url
