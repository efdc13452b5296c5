"""The same app, the same tasks, four backends: only one variable differs, and no record does."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.celery_worker import CeleryWorker, serving
from tests.servers import PostgresServer, free_port
from tests.switching.seeing import User, differences

STOPS_SYNC = ("process", "celery")
"""The backends that can stop a running `def` task; on the others it is marked."""

APART = ("asyncio", "process")
"""One of each kind."""

STOPPED = "a running function is stopped"

SETTINGS: dict[str, Any] = {
    "database_url": "sqlite:///jobs.db",
    "migrate": True,
    "heartbeat_seconds": 0.5,
    "poll_seconds": 0.1,
    "shutdown_seconds": 5,
    "task_modules": ["tests.switching.tasks"],
    "api_options": [
        *("queue", "priority", "run_after", "expires", "tags", "metadata", "unique_key"),
    ],
    "process": {"max_workers": 2},
    "celery": {"concurrency": 2},
    "queues": {"shut": {"paused": True}},
}

PARCEL = {
    "id": "8c0a6f3c-31a8-4f6e-9d8b-1a2b3c4d5e6f",
    "size": "large",
    "weight": "1.50",
    "sent_at": "2026-03-29T01:30:00+01:00",
    "within": "PT1H30M",
    "labels": ["ä"],
}
VALUES = [{"ä": [1, 2.5, None, True, {"": "x" * 3000}]}, 10**18, "", None, []]


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_record_tells_the_backends_apart(
    database: str,
    tmp_path: Path,
    redis_url: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__BROKER_URL", redis_url)
    seen = {}
    for backend in ("asyncio", "thread", "process", "celery"):
        monkeypatch.setenv("FASTAPI_JOBS_BACKEND", backend)
        folder = tmp_path / backend
        folder.mkdir()
        with ExitStack() as stack:
            settings = dict(SETTINGS)
            if database == "postgresql":
                server: PostgresServer = request.getfixturevalue("postgres")
                settings["database_url"] = stack.enter_context(server.fresh_database())
            worker = CeleryWorker(folder, settings)
            user = stack.enter_context(app_of(worker, folder))
            user.stops_functions = backend in STOPS_SYNC
            if backend == "celery":
                stack.enter_context(worker)
            for scenario in SCENARIOS:
                scenario(user)
            seen[backend] = user.seen
    assert differences(seen["asyncio"], seen["thread"]) == []
    assert differences(seen["process"], seen["celery"]) == []
    everywhere = [name for name in seen["asyncio"] if not name.startswith(STOPPED)]
    some, others = ({name: seen[each][name] for name in everywhere} for each in APART)
    assert differences(some, others) == []


@contextmanager
def app_of(worker: CeleryWorker, folder: Path) -> Iterator[User]:
    """Somebody at the app, which runs with the settings file of the worker."""
    port, log = free_port(), folder / "app.log"
    command = [sys.executable, "-m", "uvicorn", "tests.switching.app:app", "--port", str(port)]
    user = User(f"http://127.0.0.1:{port}", folder)
    with closing(user), serving(command, worker.settings, log, user.is_there):
        yield user


def both(name: str) -> tuple[str, str]:
    """The `def` and the `async def` task of this name."""
    return name, f"{name}/async"


def ends(user: User) -> None:
    """Every way to end by oneself."""
    calls: list[tuple[str, list[Any]]] = [
        ("repack", [PARCEL]),
        ("returns", [VALUES]),
        ("fails", ["many"]),
        *((name, []) for name in PLAIN),
    ]
    started = [
        (each, user.start(each, *args, tags=["b", "a"], metadata={"of": [name]}, priority=-3))
        for name, args in calls
        for each in both(name)
    ]
    for name, job_id in started:
        user.note_end(name, job_id)


PLAIN = (
    *("tells", "recovers", "never_recovers", "gives_up", "later", "snoozes", "withdraws"),
    *("returns_no_json", "forgets", "exits", "enqueues"),
)


def endpoints(user: User) -> None:
    """Jobs of the app's own endpoints."""
    for path, body in (("/pair?value=1", None), ("/behind", PARCEL), ("/blocking?value=3", None)):
        for number, job_id in enumerate(user.ask("POST", path, json=body).json()):
            user.note_end(f"{path} {number}", job_id)


def waiting(user: User) -> None:
    """Jobs that do not start."""
    first = user.start("alone", 1, queue="shut")
    assert user.start("alone", 1, queue="shut") == first
    user.note("in a paused queue", first)
    user.try_to("cancelled while it waits", "POST", f"/jobs/{first}/cancel")
    user.note("what is left of it", first)
    user.try_to("cancelled again", "POST", f"/jobs/{first}/cancel")
    later = user.start("returns", 1, run_after=3630)  # "1 h" for half a minute
    user.note("scheduled", later)
    with user.pause():  # what is answered may not depend on who is quicker
        user.try_to("brought forward", "PATCH", f"/jobs/{later}", json={"run_after": None})
    user.note_end("run after all", later)
    expiring = user.start("returns", 1, queue="shut", expires=0.05)
    user.note_end("expired", expiring)
    retried = user.start("fails", "x")
    user.wait(retried)
    with user.pause():
        user.try_to("retried", "POST", f"/jobs/{retried}/retry")
    user.note_end("failed again", retried)
    user.try_to("deleted", "DELETE", f"/jobs/{retried}")
    user.try_to("gone", "GET", f"/jobs/{retried}")


def running(user: User) -> None:
    """Jobs that run, and what is refused meanwhile."""
    for name in both("waits"):
        gate = user.gate(f"running {name}")
        job_id = user.at_gate(name, gate)
        user.note(f"running: {name}", job_id)
        for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/retry")):
            body = {"priority": 1} if method == "PATCH" else None
            scenario = f"{method} {path} while {name} runs"
            user.try_to(scenario, method, f"/jobs/{job_id}{path}", json=body)
        gate.open()
        user.note_end(f"it ran: {name}", job_id)


def cancelled(user: User) -> None:
    """Jobs that are cancelled while they run."""
    for scenario, name in (
        ("cancelled at its await", "waits/async"),
        (f"{STOPPED}, or listens", "listens"),
        (f"{STOPPED}, or marked", "waits"),
    ):
        with user.gate(scenario) as gate:
            job_id = user.at_gate(name, gate)
            user.ask("POST", f"/jobs/{job_id}/cancel")
            if name == "waits" and not user.stops_functions:
                gate.open()
            user.note_end(scenario, job_id)


def overdue(user: User) -> None:
    """Jobs that take too long."""
    for scenario, name in (
        ("timed out at its await", "overdue/async"),
        (f"{STOPPED} when it takes too long, or marked", "overdue"),
    ):
        with user.gate(scenario) as gate:
            # What stands still for a while is stopped before it comes to the gate.
            job_id = user.start(name, str(gate))
            if name == "overdue" and not user.stops_functions:
                user.wait_for_a_mark(job_id)
                gate.open()
            user.note_end(scenario, job_id)


SCENARIOS: tuple[Callable[[User], None], ...] = (
    *(ends, endpoints, waiting, running, cancelled, overdue),
)
