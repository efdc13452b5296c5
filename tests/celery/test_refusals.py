"""Celery workers that cannot work say why and end; what they cannot run waits for others."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, JobStatus
from fastapi_jobs.clock import utc_now
from fastapi_jobs.explaining import ReasonCode, explain
from fastapi_jobs.store import queries
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import upgrade
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add, letter
from tests.celery_worker import COMMAND, LIMIT, ROOT, CeleryWorker, environment

PLAIN = (sys.executable, "-m", "celery", "-A", "fastapi_jobs.celery_app", "worker")


def refusal(worker: CeleryWorker) -> str:
    """What a worker says that ends at its start."""
    done = subprocess.run(
        worker.command,
        cwd=ROOT,
        env=environment(worker.settings),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("command", [COMMAND, PLAIN], ids=["ours", "plain"])
def test_an_older_database_is_refused_with_the_command(
    tmp_path: Path, sqlite_url: str, command: tuple[str, ...], broker: str
) -> None:
    database = Database(sqlite_url)
    upgrade(database, "0001")
    database.dispose()
    settings: dict[str, Any] = {
        "backend": "celery",
        "database_url": sqlite_url,
        "migrate": False,
        "task_modules": ["tests.celery.tasks"],
        "celery": {"broker_url": broker, "pool": "prefork", "concurrency": 1},
    }
    worker = CeleryWorker(tmp_path, settings, command=command)
    said = refusal(worker)
    assert "is at revision 0001; this version needs" in said
    assert "Run: fastapi-jobs migrate" in said
    assert "Traceback" not in said


async def test_a_task_that_no_worker_knows_waits_for_one_that_does(
    sqlite_place: Place, sqlite_app: FastAPIJobs
) -> None:
    stranger = sqlite_place.worker(name="stranger", task_modules=["tests.conformance.tasks.calls"])
    job = await add.enqueue(1, 2)

    async def is_told() -> bool:
        store, settings = sqlite_app.runtime.store, sqlite_app.settings
        return ReasonCode.UNKNOWN_TASK in [
            each.code for each in (await explain(store, settings, job.id)).reasons
        ]

    await eventually(is_told, "explain says so")
    assert (await job.refresh()).status is JobStatus.QUEUED
    sqlite_place.worker(name="second")
    assert await job.result(LIMIT) == 3
    assert stranger.process.poll() is None


async def test_a_paused_queue_stays_with_the_database(
    sqlite_place: Place, sqlite_app: FastAPIJobs, tmp_path: Path
) -> None:
    """What the broker holds of it goes back, and is published again once it is resumed."""
    file = tmp_path / "letters"
    published = await letter.enqueue(str(file), "before")

    async def is_published() -> bool:
        record = await sqlite_app.runtime.store.read(queries.get_job, published.id)
        return record is not None and record.published_at is not None

    await eventually(is_published, "it is published")
    await sqlite_app.runtime.store.write(PauseQueue("letters", utc_now()))
    sqlite_place.worker()
    after = await letter.enqueue(str(file), "after")
    assert await (await add.enqueue(1, 1)).result(LIMIT) == 2

    async def is_back() -> bool:
        return not await is_published()

    await eventually(is_back, "it goes back")
    assert not file.exists()
    await sqlite_app.runtime.store.write(ResumeQueue("letters"))
    await published.wait(LIMIT)
    await after.wait(LIMIT)
    assert sorted(file.read_text().split()) == ["after", "before"]


@pytest.mark.parametrize(
    ("command", "queues"),
    [
        (COMMAND, ["default"]),
        ((*COMMAND, "--queue", "letters"), ["letters"]),
        ((*PLAIN, "-Q", "fastapi_jobs.letters", "--loglevel", "INFO"), ["letters"]),
        ((*PLAIN, "--loglevel", "INFO"), []),
    ],
    ids=["ours", "ours, one queue", "plain, one queue", "plain"],
)
async def test_a_worker_says_which_queues_it_serves(
    sqlite_place: Place, command: tuple[str, ...], queues: list[str]
) -> None:
    """Ours leaves a queue that wants another pool, and does not claim to serve it."""
    sqlite_place.settings["queues"] = {"letters": {"pool": "solo"}}
    async with sqlite_place.app() as app:
        sqlite_place.worker(command=command)
        records = await app.runtime.store.read(queries.get_workers)
        served = [json.loads(each.queues) for each in records if "celery" in each.backends]
        assert served == [queues]
        job = await letter.enqueue("/dev/null", "a")
        if "letters" in queues or not queues:
            assert (await job.wait(LIMIT)).status is JobStatus.SUCCEEDED
            return
        [said] = (await explain(app.runtime.store, app.settings, job.id)).reasons
        assert said.text.endswith("fastapi-jobs worker --backend celery --queue letters")
        # A queue that nobody declared comes with the default's.
        other = await add.using(queue="anything").enqueue(1, 2)
        assert await other.result(LIMIT) == 3


def test_a_worker_for_an_undeclared_queue_is_refused(sqlite_place: Place) -> None:
    """It would be given the jobs of the default queue, and throw them away."""
    worker = CeleryWorker(sqlite_place.folder, sqlite_place.settings, "--queue", "leters")
    said = refusal(worker)
    assert "--queue leters: no task goes there" in said
    assert "[queues.leters]" in said
