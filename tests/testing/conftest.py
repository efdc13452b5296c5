"""A host's app as its tests would have it."""

import pytest

from fastapi_jobs import FastAPIJobs
from tests.testing.tasks import SENT


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    SENT.clear()


@pytest.fixture
def jobs() -> FastAPIJobs:
    """A FastAPIJobs on a database that nobody can reach: it must not be touched."""
    return FastAPIJobs(database_url="postgresql+psycopg://nobody@127.0.0.1:9/shop", name="shop")
