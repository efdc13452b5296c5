"""`fastapi-jobs check` on real databases, and its judgements one by one."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from fastapi_jobs.checks import place
from fastapi_jobs.checks.broker import judge_celery
from fastapi_jobs.checks.database import judge_connections, judge_server
from fastapi_jobs.checks.findings import Finding
from fastapi_jobs.checks.place import (
    file_system,
    judge_environment,
    judge_file_system,
    judge_settings,
)
from fastapi_jobs.checks.running import (
    judge_children,
    judge_hosts,
    judge_lanes,
    judge_queues,
    judge_workers,
)
from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.conf import Settings, load
from fastapi_jobs.models import QueueRecord, WorkerRecord
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.lanes import Lane
from fastapi_jobs.store.probe import Connections, Snapshot
from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.workers import RegisterWorker
from tests.cli.command import ROOT, Site
from tests.cli.login_proxy import LoginProxy
from tests.cli.work import add, send
from tests.servers import PostgresServer, free_port

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings() -> Settings:
    return load(database_url="sqlite:////tmp/unused.db", name="check")


def worker(**changed: object) -> WorkerRecord:
    """A worker's row."""
    values: dict[str, Any] = {
        "id": uuid7(),
        "host": "a",
        "machine": "",
        "pid": 1,
        "backends": '["asyncio", "thread"]',
        "slots": '{"asyncio": 100, "thread": 20}',
        "queues": "[]",
        "tasks": json.dumps([add.name, send.name]),
        "version": "1",
        "started_at": NOW,
        "heartbeat_at": NOW,
    }
    return WorkerRecord(**values | changed)


def texts(findings: Iterator[Finding]) -> dict[str, str]:
    """Sentences by `level code`; fails on two of the same."""
    found = {}
    for each in findings:
        key = f"{each.level} {each.code}"
        assert key not in found
        found[key] = each.text
    return found


# Whole runs.


def test_all_is_well(site: Site) -> None:
    with site.worker() as running:
        words = ("check", "--app-dir", str(ROOT), "--env", "testing")
        patient = {"FASTAPI_JOBS_LEASE_SECONDS": "600"}
        done = site.run(*words, "--strict", **patient)
        lines = done.stdout.splitlines()
        on_postgres = site.url.startswith("postgresql")
        assert done.returncode == int(on_postgres), done.stdout  # the tests' server is unsafe
        levels = [line.split()[0] for line in lines[:-1]]
        assert levels == ["ok", "ok", "ok", *(["warning"] if on_postgres else []), "ok"]
        assert "1 worker lives: " in lines[-2]
        assert lines[-1] == ("1 warning." if on_postgres else "All is well.")
        assert site.run(*words, **patient).returncode == 0
        assert "\x1b" not in done.stdout
        running.signal(signal.SIGTERM)
        assert running.wait_end() == 0


def test_what_waits_for_nobody_is_named(site: Site) -> None:
    with site.jobs() as jobs:
        for _ in range(3):
            add.enqueue_sync(1, 1)
        send.enqueue_sync("x")
        code, found = site.check()
        assert code == 0
        assert "warning unknown-task" not in found
        assert found["warning waiting"] == [
            "4 jobs wait and no worker lives. Start the app, or: fastapi-jobs worker"
        ]
        assert site.check("--strict")[0] == 1
        jobs.runtime.store.write_sync(PauseQueue("default", utc_now(), "ann", "mail is down"))
        stranger = worker(tasks='["other"]', heartbeat_at=utc_now() + timedelta(hours=1))
        jobs.runtime.store.write_sync(RegisterWorker(stranger))
        code, found = site.check()
    assert code == 0
    assert len(found["warning unknown-task"]) == 2
    assert found["warning unknown-task"][0] == (
        f"3 jobs of task '{add.name}' wait: no live worker knows it. It is registered here: "
        "restart the workers."
    )
    (paused,) = found["warning paused"]
    assert paused.startswith("Queue 'default' is paused by ann since 20")
    assert paused.endswith(" UTC (mail is down); 3 jobs wait in it.")


def test_a_killed_worker_is_stale(site: Site) -> None:
    with site.worker() as running, site.worker() as other:
        other.process.send_signal(signal.SIGSTOP)  # or it would clear up at once
        running.process.kill()
        running.process.wait()
        try:
            _, found = site.check(FASTAPI_JOBS_LEASE_SECONDS="600")
        finally:
            other.process.send_signal(signal.SIGCONT)
        (stale,) = found["warning stale-worker"]
        assert f":{running.process.pid} had its last heartbeat " in stale
        (live,) = found["ok workers"]
        assert f":{other.process.pid}." in live
        other.signal(signal.SIGTERM)
        assert other.wait_end() == 0


def test_options_that_a_backend_cannot_honour(sqlite_site: Site) -> None:
    (sqlite_site.folder / "slow.py").write_text(
        "print('noise')\nfrom fastapi_jobs import task\n\n"
        "@task(timeout=3)\ndef crawl() -> None: ...\n"
    )
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["slow"], api_open=True)
    code, found = sqlite_site.check("--app-dir", ".")
    assert code == 0
    (said,) = found["warning capability"]
    assert said.startswith("task 'slow.crawl': timeout=3 cannot stop a def task")
    sqlite_site.write(
        database_url=sqlite_site.url,
        task_modules=["slow"],
        strict_capabilities=True,
        observers=["slow.missing"],
        backend="slow:Nothing",
    )
    code, found = sqlite_site.check("--app-dir", ".")
    assert code == 1
    assert "slow.missing" in found["error observers"][0]
    assert "slow:Nothing" in found["error backend"][0]


def test_the_clock_of_a_real_server_agrees(tmp_path: Path, postgres_url: str) -> None:
    site = Site(tmp_path, postgres_url)
    site.run("migrate")
    _, found = site.check()
    assert "warning clock" not in found
    assert "warning pooler" not in found
    assert "warning connections" not in found
    (unsafe,) = found["warning unsafe-server"]
    assert "has fsync = off and full_page_writes = off: after a power cut " in unsafe


def test_a_server_with_few_connections(
    tmp_path: Path, postgres_server_factory: Callable[..., PostgresServer]
) -> None:
    with postgres_server_factory(fsync=True, max_connections=14).fresh_database() as url:
        site = Site(tmp_path, url)
        assert site.run("migrate").returncode == 0
        engine = create_engine(Database(url).url)
        with engine.connect(), engine.connect(), engine.connect():
            _, found = site.check()
        engine.dispose()
    assert "warning unsafe-server" not in found
    (said,) = found["warning connections"]
    assert " of 11 connections of the server are taken; one more process needs up to 9." in said


def test_connections_for_every_process(settings: Settings) -> None:
    roomy, tight = Connections(97, 40), Connections(20, 2)
    live = [worker(), worker(), worker()]
    assert texts(judge_connections(settings, roomy, live)) == {}
    said = texts(judge_connections(settings, tight, live))["warning connections"]
    assert said.startswith("3 workers open up to 9 connections each, 27 in all; the server of ")
    assert "allows 20. Raise max_connections" in said


def test_what_stands_between_is_seen(tmp_path: Path, postgres_url: str) -> None:
    with LoginProxy(postgres_url) as proxy:
        site = Site(tmp_path, proxy.url)
        assert site.run("migrate").returncode == 0
        _, found = site.check()
    (said,) = found["warning pooler"]
    assert said.startswith("A pooler (pgbouncer?) stands before postgresql+psycopg://")


def on_celery(site: Site, broker_url: str) -> dict[str, str]:
    """The variables of a site whose jobs run on Celery."""
    site.write(database_url=site.url, task_modules=["tests.cli.work"], backend="celery")
    return {"FASTAPI_JOBS_CELERY__BROKER_URL": broker_url}


def test_a_broker_that_answers(sqlite_site: Site, redis_url: str) -> None:
    _, found = sqlite_site.check()
    assert not any(key.endswith(" broker") for key in found)  # nothing goes to Celery yet
    code, found = sqlite_site.check(**on_celery(sqlite_site, redis_url))
    assert code == 0
    assert found["ok broker"] == [f"The broker {redis_url} answers."]


def test_a_broker_that_does_not_answer(sqlite_site: Site) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    code, found = sqlite_site.check(**on_celery(sqlite_site, url))
    assert code == 1
    (said,) = found["error broker"]
    hidden = url.replace("secret", "***")
    assert said.startswith(f"The broker {hidden} does not answer: ConnectionError: Error ")
    assert said.endswith(
        "Connection refused. Does it run, and is celery.broker_url right? It comes from "
        "variable FASTAPI_JOBS_CELERY__BROKER_URL. Until it answers, jobs wait in the database."
    )
    assert "ok migration" in found


def test_a_queue_on_celery_asks_for_the_broker(sqlite_site: Site, redis_url: str) -> None:
    variables = {
        "FASTAPI_JOBS_QUEUES__MAIL__BACKEND": "celery",
        "FASTAPI_JOBS_CELERY__BROKER_URL": redis_url,
    }
    assert "ok broker" in sqlite_site.check(**variables)[1]


def test_a_task_on_celery_without_a_broker(sqlite_site: Site) -> None:
    (sqlite_site.folder / "slow.py").write_text(
        'from fastapi_jobs import task\n\n@task(backend="celery")\ndef crawl() -> None: ...\n'
    )
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["slow"])
    code, found = sqlite_site.check("--app-dir", ".")
    assert code == 1
    assert found["error broker"] == [
        "Task 'slow.crawl' runs on celery, and celery.broker_url is not set. Set it, such as "
        '"redis://localhost:6379/0", or choose another backend.'
    ]


def test_a_redis_that_answers(sqlite_site: Site, redis_url: str) -> None:
    code, found = sqlite_site.check(FASTAPI_JOBS_REDIS_URL=redis_url)
    assert (code, found["ok redis"]) == (0, [f"The Redis {redis_url} answers."])


def test_a_redis_that_does_not_answer(sqlite_site: Site) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    code, found = sqlite_site.check(FASTAPI_JOBS_REDIS_URL=url)
    assert code == 0  # everything works without it
    (said,) = found["warning redis"]
    hidden = url.replace("secret", "***")
    assert said.startswith(f"The Redis {hidden} does not answer: ConnectionError: Error ")
    assert said.endswith(
        "Connection refused. Does it run, and is redis_url right? It comes from variable "
        "FASTAPI_JOBS_REDIS_URL. Until it answers, processes hear of each other's jobs by looking, "
        "every 0.1 s (poll_seconds), and of cancelled ones every 0.25 s (heartbeat_seconds)."
    )


# Judgements.


def test_tasks_on_celery_need_its_workers() -> None:
    celery = {"broker_url": "redis://localhost:9"}
    mail = load(
        database_url="sqlite:////tmp/x",
        # Tasks of other tests may be in the queue of this one.
        routes={send.name: "of-its-own"},
        queues={"of-its-own": {"backend": "celery"}},
        celery=celery,
    )
    found = texts(judge_celery(mail, [worker()]))
    assert found["note no-celery-worker"] == (
        f"Jobs of task {send.name!r} run on celery, and no Celery worker lives. "
        "Start one: fastapi-jobs worker --backend celery"
    )
    assert texts(judge_celery(mail, [])) == {}  # "no worker lives" says it
    assert texts(judge_celery(mail, [worker(), worker(backends='["celery"]')])) == {}
    assert texts(judge_celery(load(database_url="sqlite:////tmp/x"), [worker()])) == {}


def test_settings_that_surprise() -> None:
    risky = load(
        database_url="sqlite:////tmp/unused.db",
        durability="normal",
        api_open=True,
        backend="immediate",
    )
    assert set(texts(judge_settings(risky))) == {"note durability", "warning immediate"}


def test_history_without_end() -> None:
    found = texts(judge_settings(load(database_url="sqlite:////tmp/x", retention={"failed": 0})))
    assert found["note retention"].startswith("retention.failed = none (FastAPIJobs(")


def test_the_environment_and_the_processes_of_the_server(settings: Settings) -> None:
    assert list(texts(judge_environment(settings, {}))) == ["note environment"]
    assert texts(judge_environment(settings, {"FASTAPI_JOBS_ENV": "development"})) == {}
    found = texts(judge_environment(settings, {"WEB_CONCURRENCY": "4"}))
    assert (
        "asyncio.max_running 100 x 4 = 400, thread.max_workers 20 x 4 = 80"
        in (found["note server-processes"])
    )
    alone = {"FASTAPI_JOBS_ENV": "production", "WEB_CONCURRENCY": "1"}
    assert texts(judge_environment(settings, alone)) == {}


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "jobs.db"
    monkeypatch.setattr(place, "LEAST_FREE", 0)
    assert list(place.judge_free_space(file)) == []
    monkeypatch.setattr(place, "LEAST_FREE", 1 << 60)
    assert "fastapi-jobs prune" in texts(place.judge_free_space(file))["warning disk"]
    assert list(place.judge_free_space(tmp_path / "no" / "jobs.db")) == []


def test_more_children_than_cores() -> None:
    used = load(database_url="sqlite:////tmp/x", backend="process", process={"max_workers": 4})
    pair = [worker(machine="here", slots='{"process": 4}') for _ in range(2)]
    assert list(judge_children(used, pair, "here", 8)) == []
    assert list(judge_children(used, pair, "there", 4)) == []
    assert list(judge_children(used, pair[:1], "here", 2)) == []
    found = texts(judge_children(used, pair, "here", 4))["warning processes"]
    assert found.startswith("2 workers on this machine may have 8 child processes, on 4 cores")
    assert "Set process.max_workers = 2 (FastAPIJobs(" in found
    others = [worker(machine="here", slots='{"asyncio": 100}') for _ in range(2)]
    assert list(judge_children(used, others, "here", 4)) == []


def test_an_open_api_in_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text("[production.fastapi_jobs]\napi_open = true\n")
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    found = texts(judge_settings(load(tmp_path / "settings.toml")))
    assert list(found) == ["warning api-open"]
    assert found["warning api-open"].startswith("api_open = true (")
    assert "settings.toml [production]) in environment 'production': " in found["warning api-open"]


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/vol /srv/jobs nfs4 rw 0 0
/dev/sdb /srv/jobs/local xfs rw 0 0
//box/share /mnt/my\\040share cifs rw 0 0
tmpfs /tmp tmpfs rw 0 0
nas:/tmp /tmp nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/jobs.db", "ext4"),
        ("/srv/jobs/jobs.db", "nfs4"),
        ("/srv/jobsjobs.db", "ext4"),
        ("/srv/jobs/local/jobs.db", "xfs"),
        ("/mnt/my share/jobs.db", "cifs"),
        ("/tmp/jobs.db", "nfs"),
    ],
)
def test_the_file_system_of_a_file(file: str, kind: str) -> None:
    assert file_system(Path(file), MOUNTS) == kind
    found = texts(judge_file_system(Path(file), MOUNTS))
    assert list(found) == ([] if kind in ("ext4", "xfs") else ["error file-system"])


def test_an_unknown_file_system_is_not_judged() -> None:
    assert list(judge_file_system(Path("/jobs.db"), "")) == []


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Snapshot(None, 1.9), {}),
        (Snapshot(None, -1.9), {}),
        (Snapshot(None, 2.5), {"warning clock": "2.5 s ahead of this machine's"}),
        (Snapshot(None, -7200.0), {"warning clock": "7200.0 s behind this machine's"}),
        (Snapshot(None, pooled=True), {"warning pooler": "pool_mode = session"}),
    ],
)
def test_server(seen: Snapshot, said: dict[str, str]) -> None:
    found = texts(judge_server("db", seen))
    assert list(found) == list(said)
    for key, words in said.items():
        assert words in found[key]


def test_workers_and_their_slots() -> None:
    assert list(texts(judge_workers([], [], NOW))) == ["note no-worker"]
    assert list(texts(judge_workers([worker()], [], NOW))) == ["ok workers"]
    late = NOW + timedelta(seconds=52)
    found = texts(
        judge_workers([worker(), worker(pid=2, slots='{"asyncio": 5}')], [worker(pid=3)], late)
    )
    assert found["warning stale-worker"].startswith("Worker a:3 had its last heartbeat 52 s ago")
    assert found["ok workers"] == "2 workers live: a:1, a:2."
    assert "at a time they run: asyncio 105, thread 20. If that" in found["note slots"]
    assert "lower asyncio.max_running, thread.max_workers;" in found["note slots"]


def test_quieted_workers(settings: Settings) -> None:
    quiet, lanes = worker(quiet=True), [(Lane("default", add.name, ""), 2)]
    found = texts(judge_workers([quiet, worker(pid=2)], [], NOW))
    assert found["warning quiet-worker"].startswith("Worker a:1 is quieted: it goes on with what")
    assert texts(judge_lanes(settings, lanes, [quiet, worker(pid=2)])) == {}
    found = texts(judge_lanes(settings, lanes, [quiet]))
    assert " wait and every live worker is quieted. Start" in found["warning waiting"]


def test_tasks_that_nobody_has_wait_in_the_store(settings: Settings) -> None:
    lanes = [(Lane("default", add.name, ""), 2), (Lane("q", add.name + "s", ""), 3)]
    found = texts(judge_lanes(settings, lanes, []))
    assert list(found) == ["warning waiting", "warning unknown-task"]
    assert found["warning unknown-task"] == (
        f"3 jobs of task '{add.name}s' wait. No module of task_modules here defines it: it was "
        f"renamed, or its module is missing. Did you mean '{add.name}'?"
    )


def test_several_machines_on_one_file() -> None:
    same = [worker(machine="boot1 pid:[1]"), worker(machine="boot1 pid:[2]", host="b")]
    assert list(judge_hosts(same)) == []
    other = worker(machine="boot2 pid:[1]", host="c")
    assert "(a, b, c)" in texts(judge_hosts([*same, other]))["error sqlite-hosts"]
    assert "error sqlite-hosts" in texts(judge_hosts([worker(), worker(host="z")]))


def test_paused_queues() -> None:
    settings = load(
        database_url="sqlite:////tmp/unused.db",
        queues={"mail": {"paused": True}, "slow": {"paused": True}, "fast": {}},
    )
    rows = [QueueRecord(name="slow", paused=False), QueueRecord(name="fast", max_running=3)]
    lanes = [(Lane("mail", "t", ""), 1000), (Lane("mail", "u", ""), 1)]
    found = texts(judge_queues(settings, rows, lanes))
    assert list(found) == ["warning paused"]
    assert "Queue 'mail' is paused by queues.mail.paused (" in found["warning paused"]
    assert found["warning paused"].endswith("; 1,001 or more jobs wait in it.")


@pytest.mark.parametrize(
    ("lane", "able", "said"),
    [
        (Lane("default", add.name, ""), worker(), ""),
        (Lane("default", add.name, "process"), worker(), "runs backend 'process'"),
        (Lane("default", add.name, ""), worker(queues='["mail"]'), "serves queue 'default'"),
        (Lane("default", "gone", ""), worker(tasks='["gone"]'), ""),
        (Lane("default", "gone", ""), worker(), "1 job of task 'gone' waits: no live worker knows"),
    ],
)
def test_lanes(settings: Settings, lane: Lane, able: WorkerRecord, said: str) -> None:
    found = " ".join(texts(judge_lanes(settings, [(lane, 1)], [able])).values())
    assert said in found
    assert bool(found) == bool(said)


CELERY_ONE = "Start one: fastapi-jobs worker --backend celery"


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ([], f"1 job waits and no worker lives. {CELERY_ONE}"),
        (
            [worker()],
            f"no live worker that serves queue 'mail' runs backend 'celery'. {CELERY_ONE}",
        ),
        (
            [worker(), worker(backends='["celery"]', queues='["default"]')],
            "no live worker that serves queue 'mail' runs backend 'celery'. "
            f"{CELERY_ONE} --queue mail",
        ),
        (
            [worker(), worker(backends='["celery"]', tasks='["old"]')],
            "no live worker that runs backend 'celery' knows it. It is registered here: restart "
            "the workers.",
        ),
        ([worker(), worker(backends='["celery"]', queues='["mail"]')], ""),
    ],
)
def test_lanes_on_celery(live: list[WorkerRecord], said: str) -> None:
    """The app itself lives, knows the task and serves the queue, and runs none of its jobs."""
    settings = load(
        database_url="sqlite:////tmp/x",
        queues={"mail": {"backend": "celery"}},
        celery={"broker_url": "redis://localhost"},
    )
    found = " ".join(texts(judge_lanes(settings, [(Lane("mail", add.name, ""), 1)], live)).values())
    assert found.endswith(said)
    assert bool(found) == bool(said)


def test_an_undeclared_queue_is_served_with_the_default_on_celery() -> None:
    celery = {"broker_url": "redis://localhost"}
    settings = load(database_url="sqlite:////tmp/x", backend="celery", celery=celery)
    lanes = [(Lane("anything", add.name, ""), 1)]
    [serves, serves_not] = (
        worker(backends='["celery"]', queues=json.dumps([queue])) for queue in ("default", "mail")
    )
    assert texts(judge_lanes(settings, lanes, [serves])) == {}
    found = texts(judge_lanes(settings, lanes, [serves_not]))["warning unserved"]
    assert found.endswith(
        "knows it serves queue 'default'. Start one: fastapi-jobs worker --queue default"
    )
