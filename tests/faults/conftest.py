"""Real processes on a fresh database, all cleared away when the test ends, however it ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import upgrade
from tests.faults.processes import Launcher
from tests.faults.view import View


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ledger, logs and marks of the processes are."""
    made = tmp_path / "faults"
    made.mkdir()
    return made


@pytest.fixture
def world(folder: Path) -> Iterator[Callable[[str], tuple[Launcher, View]]]:
    """Migrate the database of a URL; who starts processes on it, and who looks into it."""
    with ExitStack() as stack:

        def make(url: str) -> tuple[Launcher, View]:
            database = Database(url)
            stack.callback(database.dispose)
            upgrade(database)
            launcher = Launcher(folder, url)
            stack.callback(launcher.clear_away)
            return launcher, View(database)

        yield make


@pytest.fixture
def launch(database_url: str, world: Callable[[str], tuple[Launcher, View]]) -> Launcher:
    """Starts processes on SQLite and on PostgreSQL in turn."""
    # The database is asked for first, so that it outlives the processes on it.
    return world(database_url)[0]


@pytest.fixture
def view(launch: Launcher) -> Iterator[View]:
    """Looks into the database of `launch`."""
    database = Database(launch.settings["database_url"])
    yield View(database)
    database.dispose()
