"""A store that was open before a fork works in the child, and still in the parent."""

import os

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.rows import NewJob
from tests.store.driving import open_store


def insert(store: Store) -> None:
    """One plain job."""
    store.write_sync(InsertJobs([NewJob(uuid7(), "t", "default", "{}", utc_now())]))


# A preloading server forks just so; Python 3.12 and later warn of it.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(database_url: str) -> None:
    with open_store(database_url) as store:
        insert(store)
        child = os.fork()
        if child == 0:
            try:
                insert(store)
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        insert(store)
        assert len(store.read_sync(queries.list_jobs, JobFilter()).items) == 3
