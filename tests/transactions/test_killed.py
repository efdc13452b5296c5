"""A process that dies before its commit leaves neither row nor job."""

import subprocess
import sys

import pytest

from fastapi_jobs import FastAPIJobs, JobFilter
from fastapi_jobs.store import queries

SCRIPT = """
import asyncio, os, signal, sys
from fastapi_jobs import FastAPIJobs
from tests.transactions.hosting import Order, async_session, ship, sync_session

url, kind = sys.argv[1:]

async def with_async() -> None:
    with FastAPIJobs(database_url=url, migrate=True):
        async with async_session(url) as session:
            session.add(Order(id=1))
            await ship.using(session=session).enqueue(1)
            os.kill(os.getpid(), signal.SIGKILL)

def with_sync() -> None:
    with FastAPIJobs(database_url=url, migrate=True), sync_session(url) as session:
        session.add(Order(id=1))
        ship.using(session=session).enqueue_sync(1)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(with_async()) if kind == "async" else with_sync()
"""


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_killed_before_the_commit(database_url: str, kind: str) -> None:
    command = [sys.executable, "-c", SCRIPT, database_url, kind]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr.decode()
    with FastAPIJobs(database_url=database_url) as jobs:
        page = jobs.runtime.store.read_sync(queries.list_jobs, JobFilter())
        assert page.items == []
