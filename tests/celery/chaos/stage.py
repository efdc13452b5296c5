"""All the processes of the chaos: API, worker tree, clients; PostgreSQL and Redis to be hurt."""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from fastapi_jobs.status import FINAL, JobStatus
from fastapi_jobs.store.database import Database
from tests.celery.chaos.clients import Clients, all_done
from tests.celery_worker import CeleryWorker, environment
from tests.faults import ledger
from tests.faults.processes import LIMIT, Running
from tests.faults.view import View, wait_for_begun
from tests.redis_server import RedisServer
from tests.servers import PostgresServer, free_port, wait_until

SLOTS = 3
BROKER_PATIENCE = 30.0
"""How long everybody waits for a broker that is there and silent, in seconds."""

_FINAL = {status.value for status in FINAL}
SERVE = ["-m", "uvicorn", "tests.celery.chaos.app:app", "--no-access-log"]


@dataclass(slots=True)
class Stage:
    """What is there, and what is told of each fault in the end."""

    folder: Path
    postgres: PostgresServer
    redis: RedisServer
    stack: ExitStack
    notes: list[str] = field(default_factory=list)
    view: View = field(init=False)
    worker: CeleryWorker = field(init=False)
    api: Running = field(init=False)
    clients: Clients = field(init=False)
    _port: int = field(default_factory=free_port)
    _gates: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        url = self.postgres.url(self.postgres.create_database())
        database = Database(url)
        self.stack.callback(database.dispose)
        self.view = View(database)
        self.worker = CeleryWorker(self.folder, settings_of(url, self.redis.url()))
        self.clients = Clients(f"http://127.0.0.1:{self._port}", self.folder)

    def start(self, *, failpoint: str) -> None:
        """Start everything; the API kills itself where `failpoint` says."""
        # In the end the API goes before the clients, who would wait for its answers.
        self.stack.enter_context(self.clients)
        self.start_api(failpoint=failpoint)
        self.stack.enter_context(self.worker)

    def start_api(self, *, failpoint: str = "") -> None:
        """Serve on the same port as before."""
        variables = environment(self.worker.settings) | {"FASTAPI_JOBS_FAILPOINT": failpoint}
        self.api = Running([*SERVE, "--port", str(self._port)], variables, self.folder)
        self.stack.callback(self.api.clear_away)
        self.api.port = self._port
        wait_until(self.api.is_ready, LIMIT, self.said)

    def said(self) -> str:
        """The end of what the processes wrote."""
        return self.api.log.read_text()[-3000:] + self.worker.said()[-3000:]

    def wait_until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fails naming it, and when the worker ended by itself."""

        def is_true() -> bool:
            self.worker.check()
            return true()

        wait_until(is_true, LIMIT, lambda: f"{what}\n{self.said()}")

    def wait_until_time(self, moment: float) -> None:
        """Wait for a moment of the monotonic clock."""
        self.wait_until(lambda: time.monotonic() >= moment, "a moment to come")

    def wait_for(self, posted: Collection[Future[Any]]) -> None:
        """Wait for the clients' answers."""
        self.wait_until(lambda: all_done(posted), f"{len(posted)} requests to be answered")

    @contextmanager
    def held(self, count: int) -> Iterator[list[UUID]]:
        """So many jobs, `def` and `async def`, run inside the block and may end after it."""
        gate = self.folder / f"gate-{next(self._gates)}"
        kinds = itertools.islice(itertools.cycle(["hold", "hold_async"]), count)
        posted = [self.clients.post_one(kind, gate=str(gate)) for kind in kinds]
        try:
            self.wait_for(posted)
            ids = [each.result() for each in posted]
            wait_for_begun(self.folder, ids)
            yield ids
        finally:
            gate.touch()

    def ended(self) -> int:
        """How many attempts have come to the end of their function."""
        return len(ledger.lines(self.folder, ledger.ENDED))

    def pid_of(self, job_id: UUID) -> int:
        """The process in which the job's last attempt began."""
        book = ledger.lines(self.folder, ledger.BEGUN)
        return [line.pid for line in book if line.job_id == job_id][-1]

    def health(self) -> Any:
        """What the API says of itself."""
        return self.api.ask("GET", "/jobs/health")[1]

    def recovered(self, fault: str, since: float, job_ids: Iterable[UUID]) -> None:
        """Wait until these jobs have succeeded, and note how long that took."""
        missing = set(job_ids)
        self.wait_until(
            lambda: missing <= self._succeeded(), f"the jobs of before {fault!r} to succeed"
        )
        self.notes.append(f"{fault}: well again after {time.monotonic() - since:.1f} s")

    def finished(self) -> None:
        """Wait until every job is finished."""
        self.wait_until(
            lambda: all(row.status in _FINAL for row in self.view.jobs().values()),
            "every job to finish",
        )

    def _succeeded(self) -> set[UUID]:
        jobs = self.view.jobs().values()
        return {row.id for row in jobs if row.status == JobStatus.SUCCEEDED}


def settings_of(database_url: str, broker_url: str) -> dict[str, Any]:
    """Those of API and worker alike: quick ones."""
    return {
        "backend": "celery",
        "database_url": database_url,
        "migrate": True,
        "heartbeat_seconds": 0.5,
        "lease_seconds": 3,
        "poll_seconds": 0.2,
        "task_modules": ["tests.celery.chaos.tasks"],
        "celery": {
            "broker_url": broker_url,
            "pool": "prefork",
            "concurrency": SLOTS,
            "options": {"broker_transport_options": {"socket_timeout": BROKER_PATIENCE}},
        },
    }
