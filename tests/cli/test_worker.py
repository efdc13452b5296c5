"""`fastapi-jobs worker`: runs what others enqueue, and stops as it is told."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.models import AttemptRecord, WorkerRecord
from fastapi_jobs.store import queries
from tests.cli.command import Site, wait_status
from tests.cli.work import add, block_for, meet, send, wait_for
from tests.servers import PostgresServer, wait_until

SIGTERM, SIGINT = signal.SIGTERM, signal.SIGINT
LONG = 600.0


def workers(jobs: FastAPIJobs) -> list[WorkerRecord]:
    """The worker rows."""
    return jobs.runtime.store.read_sync(queries.get_workers)


def attempts(jobs: FastAPIJobs, job: Any) -> list[AttemptRecord]:
    """The job's runs."""
    return jobs.runtime.store.read_sync(queries.get_attempts, job.id)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_it_runs_jobs_of_another_process_and_stops_cleanly(
    site: Site, number: signal.Signals
) -> None:
    with site.jobs() as jobs, site.worker() as worker:
        sums = [add.enqueue_sync(n, n) for n in range(20)]
        assert [job.result_sync(30) for job in sums] == [2 * n for n in range(20)]
        assert len(workers(jobs)) == 1
        worker.signal(number)
        assert worker.wait_end() == 0
        assert workers(jobs) == []
        assert worker.said().splitlines()[-1] == "stopped"


def test_its_first_line_tells_what_it_runs(sqlite_site: Site) -> None:
    site = sqlite_site
    with site.worker("--queue", "mail", "--backend", "asyncio", "--backend", "thread") as worker:
        line = worker.said().splitlines()[0]
        assert line.startswith(f"worker {worker.process.pid} runs asyncio x 100, thread x 20; mail")
        assert "; 6 tasks; " in line
        assert line.endswith(site.url)
        worker.signal(SIGTERM)
        assert worker.wait_end() == 0


@pytest.mark.parametrize(("number", "backend"), [(SIGTERM, "asyncio"), (SIGINT, "process")])
def test_a_running_job_may_end(site: Site, number: signal.Signals, backend: str) -> None:
    with site.jobs(), site.worker() as worker:
        job = wait_for.using(backend=backend).enqueue_sync(str(site.room))
        site.wait_started()
        worker.signal(number)
        worker.wait_said("stopping: 1 running, waiting up to 30 s; signal again")
        site.let_go()
        assert worker.wait_end() == 0
        done = wait_status(job, "succeeded")
        assert done.attempt == 1


@pytest.mark.parametrize("task", [wait_for, block_for])
def test_a_job_that_takes_too_long_is_given_back_uncharged(
    tmp_path: Path, site: Site, task: Any
) -> None:
    short = Site(tmp_path, site.url, shutdown_seconds=0.2)
    with short.jobs() as jobs:
        with short.worker() as worker:
            job = task.enqueue_sync(str(short.room))
            short.wait_started()
            worker.signal(SIGTERM)
            assert worker.wait_end() == 0
        given_back = wait_status(job, "queued")
        assert [each.outcome for each in attempts(jobs, job)] == ["released"]
        record = jobs.runtime.store.read_sync(queries.get_job, given_back.id)
        assert record is not None
        assert (record.failures, record.crashes) == (0, 0)
        assert workers(jobs) == []
        short.let_go()
        with short.worker() as worker:
            assert wait_status(job, "succeeded").attempt == 2
            worker.signal(SIGTERM)
            assert worker.wait_end() == 0


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_second_signal_gives_back_at_once(
    tmp_path: Path, sqlite_site: Site, number: signal.Signals
) -> None:
    patient = Site(tmp_path, sqlite_site.url, shutdown_seconds=LONG)
    with patient.jobs() as jobs, patient.worker() as worker:
        job = wait_for.enqueue_sync(str(patient.room))
        patient.wait_started()
        worker.signal(number)
        worker.wait_said("stopping: 1 running")
        worker.signal(number)
        assert worker.wait_end() == 0
        wait_status(job, "queued")
        assert [each.outcome for each in attempts(jobs, job)] == ["released"]


def test_two_workers_share_the_work(tmp_path: Path, site: Site) -> None:
    narrow = Site(tmp_path, site.url)
    single = str(narrow.room)
    text = (tmp_path / "settings.toml").read_text()
    (tmp_path / "settings.toml").write_text(f"{text}asyncio.max_running = 1\n")
    with narrow.jobs(), narrow.worker() as one, narrow.worker() as other:
        both = [meet.enqueue_sync(single) for _ in range(2)]
        assert {job.result_sync(30) for job in both} == {one.process.pid, other.process.pid}
        for worker in (one, other):
            worker.signal(SIGTERM)
            assert worker.wait_end() == 0


def test_it_keeps_to_its_queues_and_backends(site: Site) -> None:
    with site.jobs():
        elsewhere = add.enqueue_sync(1, 1)
        threaded = send.using(backend="thread").enqueue_sync("t")
        with site.worker("--queue", "mail", "--backend", "asyncio") as worker:
            assert send.enqueue_sync("a").result_sync(30) == "a"
            assert threaded.refresh_sync().status == "queued"
            assert elsewhere.refresh_sync().status == "queued"
            worker.signal(SIGTERM)
            assert worker.wait_end() == 0
        with site.worker("--queue", "mail", "--queue", "default") as worker:
            assert threaded.result_sync(30) == "t"
            assert elsewhere.result_sync(30) == 2
            worker.signal(SIGTERM)
            assert worker.wait_end() == 0


def test_a_worker_runs_although_the_settings_say_that_apps_only_enqueue(
    tmp_path: Path, sqlite_site: Site
) -> None:
    quiet = Site(tmp_path, sqlite_site.url, dispatch=False)
    with quiet.jobs(), quiet.worker() as worker:
        assert add.enqueue_sync(1, 2).result_sync(30) == 3
        worker.signal(SIGTERM)
        assert worker.wait_end() == 0


def test_a_misspelt_queue_is_named(sqlite_site: Site) -> None:
    with sqlite_site.worker("--queue", "mial") as worker:
        assert (
            "--queue mial: no task goes there and the settings do not name it; only jobs enqueued "
            "with using(queue='mial') will run. Did you mean 'mail'?"
        ) in worker.said()
        worker.signal(SIGTERM)
        assert worker.wait_end() == 0


@pytest.mark.slow
def test_it_stops_while_the_database_is_away(
    tmp_path: Path, postgres_server_factory: Callable[[], PostgresServer]
) -> None:
    server = postgres_server_factory()
    site = Site(tmp_path, server.url(), shutdown_seconds=0.2, migrate=True)
    with site.worker() as worker:
        with site.jobs():
            job = wait_for.enqueue_sync(str(site.room))
            site.wait_started()
        server.stop()
        worker.signal(SIGTERM)
        assert worker.process.wait(60) == 0
    server.start()
    site.let_go()
    with site.jobs() as jobs, site.worker() as worker:
        done = jobs.get_sync(job.id).wait_sync(30)
        assert done.status == "succeeded"
        worker.signal(SIGTERM)
        assert worker.wait_end() == 0


def test_its_modules_come_from_the_folder_it_is_started_in(sqlite_site: Site) -> None:
    folder = sqlite_site.folder
    (folder / "own_tasks.py").write_text(
        "from fastapi_jobs import task\n\n@task\nasync def mark(path: str) -> None:\n"
        "    open(path, 'w').close()\n\n\nif __name__ == '__main__':\n    import sys\n"
        "    from fastapi_jobs import FastAPIJobs\n"
        "    with FastAPIJobs(dispatch=False):\n        mark.enqueue_sync(sys.argv[1])\n"
    )
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["own_tasks"], poll_seconds=0.1)
    with sqlite_site.worker("--app-dir", ".") as worker:
        marked = folder / "marked"
        subprocess.run([sys.executable, "own_tasks.py", str(marked)], cwd=folder, check=True)
        wait_until(marked.exists, 30, worker.said)
        worker.signal(SIGTERM)
        assert worker.wait_end() == 0
