"""A site on each database."""

from pathlib import Path

import pytest

from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import upgrade
from tests.cli.command import Site


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Site:
    """A folder with settings, on both databases in turn, tables made."""
    migrated(database_url)
    return Site(tmp_path, database_url)


@pytest.fixture
def sqlite_site(tmp_path: Path, sqlite_url: str) -> Site:
    """The same on SQLite only."""
    migrated(sqlite_url)
    return Site(tmp_path, sqlite_url)


def migrated(url: str) -> None:
    """Make the tables."""
    database = Database(url)
    upgrade(database)
    database.dispose()
