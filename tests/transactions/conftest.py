"""A started FastAPIJobs on each database."""

from collections.abc import AsyncIterator

import pytest

from fastapi_jobs import FastAPIJobs
from tests.transactions.hosting import RAN


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[FastAPIJobs]:
    """Runs jobs on this event loop, on both databases in turn."""
    RAN.clear()
    async with FastAPIJobs(
        database_url=database_url, migrate=True, poll_seconds=0.1, store_timeout=60
    ) as started:
        yield started
