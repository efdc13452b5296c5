"""A store on a fresh database, on both databases in turn."""

from collections.abc import Iterator

import pytest

from fastapi_jobs.store.store import Store
from tests.store.driving import open_store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on a fresh database; the test runs on SQLite and on PostgreSQL."""
    with open_store(database_url) as opened:
        yield opened


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """The same on SQLite only."""
    with open_store(sqlite_url) as opened:
        yield opened


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """The same on PostgreSQL only."""
    with open_store(postgres_url) as opened:
        yield opened
