"""A host's app as its tests would have it."""

import pytest

from fastapi_jobs import FastAPIJobs, current
from tests.testing.tasks import SENT


@pytest.fixture(autouse=True)
def nothing_sent() -> None:
    SENT.clear()


@pytest.fixture(autouse=True)
def no_apps_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit takes over every app of the process: those that other tests' modules hold, too."""
    monkeypatch.setattr(current, "_runtimes", [])


@pytest.fixture
def jobs() -> FastAPIJobs:
    """A FastAPIJobs on a database that nobody can reach: it must not be touched."""
    return FastAPIJobs(database_url="postgresql+psycopg://nobody@127.0.0.1:9/shop", name="shop")
