"""Functions that keep the GIL past their timeout, so that their process cannot end them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from fastapi_jobs import FastAPIJobs, Job, JobStatus
from fastapi_jobs.backends.deadlines import CHILDREN, Deadline, Deadlines
from fastapi_jobs.celery_overdue import Overdue
from fastapi_jobs.conf import load
from fastapi_jobs.models import AttemptRecord, JobRecord
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place, settings_of
from tests.celery.tasks import add, keep_the_gil, keep_the_gil_longer
from tests.celery_worker import LIMIT


@pytest.fixture
def one_slot(tmp_path: Path, postgres_url: str, broker: str) -> Iterator[Place]:
    """Its worker runs one job at a time, and nothing again; it has time to beat."""
    with ExitStack() as stack:
        yield Place(tmp_path, stack, _settings(postgres_url, broker))


def _settings(database_url: str, broker: str) -> dict[str, Any]:
    settings = settings_of(database_url, broker, "prefork")
    settings["celery"] |= {"concurrency": 1}
    return settings | {"retries": 0, "lease_seconds": 15}


async def record_of(app: FastAPIJobs, job: Job[None]) -> tuple[JobRecord, list[AttemptRecord]]:
    """The job as it is stored, with its attempts."""
    record = await app.runtime.store.read(queries.get_job, job.id)
    assert record is not None
    return record, await app.runtime.store.read(queries.get_attempts, job.id)


async def test_it_times_out_and_its_slot_is_free_again(one_slot: Place, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with one_slot.app() as app:
        worker = one_slot.worker()
        job = await keep_the_gil.enqueue(str(pids))
        assert (await job.wait(LIMIT)).status is JobStatus.FAILED
        record, [attempt] = await record_of(app, job)
        assert (attempt.outcome, attempt.error) == (
            AttemptOutcome.TIMED_OUT,
            "Timed out after 1 s.",
        )
        assert (record.error, record.failures, record.crashes) == (attempt.error, 1, 0)
        assert await (await add.enqueue(1, 2)).result(LIMIT) == 3
        assert "is past its timeout and keeps process" in worker.said()
        assert int(pids.read_text()) not in [child.pid for child in worker.children()]
        assert (await job.refresh()).attempt == 1


async def test_it_is_tried_again_as_after_any_timeout(one_slot: Place, tmp_path: Path) -> None:
    one_slot.settings |= {"retries": 1}
    async with one_slot.app() as app:
        one_slot.worker()
        job = await keep_the_gil.enqueue(str(tmp_path / "pids"))
        assert (await job.wait(LIMIT)).status is JobStatus.FAILED
        record, attempts = await record_of(app, job)
        assert {each.outcome for each in attempts} == {AttemptOutcome.TIMED_OUT}
        assert (record.attempt, record.failures, record.crashes) == (2, 2, 0)


async def test_it_is_cancelled_where_somebody_wanted_that(one_slot: Place, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with one_slot.app() as app:
        one_slot.worker()
        job = await keep_the_gil_longer.enqueue(str(pids))
        await eventually(pids.exists, "it runs")
        await job.cancel()
        assert (await job.wait(LIMIT)).status is JobStatus.CANCELLED
        _, [attempt] = await record_of(app, job)
        assert attempt.outcome == AttemptOutcome.CANCELLED


async def test_it_ends_where_it_keeps_everybody_from_writing(
    tmp_path: Path, sqlite_url: str, broker: str
) -> None:
    """The end can be written only once it is killed: others may see its death before that."""
    database = sqlite_url.removeprefix("sqlite:///")
    with ExitStack() as stack:
        place = Place(tmp_path, stack, _settings(sqlite_url, broker))
        async with place.app() as app:
            place.worker()
            job = await keep_the_gil.enqueue(str(tmp_path / "pids"), database)
            assert (await job.wait(LIMIT)).status is JobStatus.FAILED
            _, attempts = await record_of(app, job)
            ends = {AttemptOutcome.TIMED_OUT, AttemptOutcome.CRASHED}
            assert {each.outcome for each in attempts} <= ends
            assert await (await add.enqueue(1, 2)).result(LIMIT) == 3


# The memory between parent and children.


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that waits for its end."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_deadline_is_seen_once_it_has_passed_and_until_it_is_cleared() -> None:
    deadlines, job_id = Deadlines(), uuid4()
    deadlines.set(3, job_id, 7, 60)
    assert list(deadlines.passed()) == []
    deadlines.set(3, job_id, 7, 0)
    [passed] = deadlines.passed()
    assert (passed.index, passed.pid, passed.fence, passed.job_id) == (3, os.getpid(), 7, job_id)
    assert deadlines.stands(passed)
    deadlines.set(3, uuid4(), 7, 0)
    assert not deadlines.stands(passed)
    deadlines.clear(3)
    assert list(deadlines.passed()) == []


def test_a_child_too_many_is_not_looked_after() -> None:
    deadlines = Deadlines()
    deadlines.set(CHILDREN, uuid4(), 1, 0)
    deadlines.clear(CHILDREN)
    assert list(deadlines.passed()) == []


def test_a_child_that_came_to_an_end_in_time_goes_on(
    child: "subprocess.Popen[bytes]", sqlite_url: str
) -> None:
    Overdue(load(database_url=sqlite_url)).end(Deadline(0, 1.0, child.pid, 1, uuid4()))
    assert child.poll() is None
    assert psutil.Process(child.pid).status() != psutil.STATUS_STOPPED


def test_a_process_that_is_no_child_is_left_alone(
    child: "subprocess.Popen[bytes]", sqlite_url: str
) -> None:
    """The entry of a dead child names a process id that may be somebody else's by now."""
    overdue = Overdue(load(database_url=sqlite_url))
    stranger = os.getppid()
    overdue.end(Deadline(0, 1.0, stranger, 1, uuid4()))
    assert psutil.Process(stranger).status() != psutil.STATUS_STOPPED
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    overdue.end(Deadline(0, 1.0, child.pid, 1, uuid4()))
