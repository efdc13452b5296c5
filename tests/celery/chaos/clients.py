"""Clients that post jobs over HTTP, and try again with their `Idempotency-Key` until answered."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import httpx2

from tests.faults.ledger import ACCEPTED, append
from tests.faults.processes import LIMIT

CLIENTS = 8
AGAIN_SECONDS = 0.05
"""How long a client rests before it tries again."""

MODULE = "tests.celery.chaos.tasks"
LOST = 0
"""The status of a request that nobody answered."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, on the monotonic clock."""

    method: str
    started: float
    ended: float
    status: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


class Clients:
    """Eight of them at once; `with` ends them."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(CLIENTS, thread_name_prefix="chaos-client")
        self._client = httpx2.Client(base_url=url, timeout=LIMIT, trust_env=False)
        self._keys = itertools.count(1)
        self._hurry = threading.Event()
        self.exchanges: list[Exchange] = []
        self.posted: list[Future[UUID]] = []
        """The job of each key, once it was accepted."""

    def post(self, count: int) -> list[Future[UUID]]:
        """Enqueue so many jobs, in turn `def` and `async def`; does not wait."""
        kinds = itertools.cycle(["note", "note_async"])
        return [self.post_one(kind) for kind in itertools.islice(kinds, count)]

    def post_one(self, task: str, **arguments: object) -> Future[UUID]:
        """Enqueue one job under a key of its own; does not wait."""
        body = {
            "task": f"{MODULE}.{task}",
            "kwargs": {"folder": str(self._folder), **arguments},
        }
        future = self._pool.submit(self._accepted, f"key-{next(self._keys)}", body)
        self.posted.append(future)
        return future

    def look(self, count: int) -> list[Future[None]]:
        """Ask so many times for what the database alone knows; does not wait."""
        return [self._pool.submit(self._look) for _ in range(count)]

    def _look(self) -> None:
        answer = self._ask("GET", "/jobs/queues")
        assert answer is not None
        assert answer.status_code == 200, answer.text

    def _accepted(self, key: str, body: object) -> UUID:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and not self._hurry.is_set():
            answer = self._ask("POST", "/jobs", json=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code in (200, 202):
                job_id = UUID(answer.json()["id"])
                append(self._folder, ACCEPTED, job_id)
                return job_id
            assert answer is None or answer.status_code == 503, answer.text
            self._hurry.wait(AGAIN_SECONDS)
        raise TimeoutError(f"{key} was not accepted within {LIMIT:g} s")

    def _ask(self, method: str, path: str, **more: Any) -> httpx2.Response | None:
        started, status = time.monotonic(), LOST
        try:
            answer = self._client.request(method, path, **more)
            status = answer.status_code
            return answer
        except httpx2.TransportError:
            return None
        finally:
            self.exchanges.append(Exchange(method, started, time.monotonic(), status))

    def answers(self) -> Counter[int]:
        """How often each status came to those who posted."""
        return Counter(each.status for each in self.exchanges if each.method == "POST")

    def during(self, method: str, started: float, ended: float) -> list[Exchange]:
        """The requests that lie wholly in this time."""
        return [
            each
            for each in self.exchanges
            if each.method == method and started <= each.started and each.ended <= ended
        ]

    def __enter__(self) -> "Clients":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hurry.set()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()


def all_done(futures: Iterable[Future[Any]]) -> bool:
    """Whether all are answered; raises what one of them raised."""
    waiting = [each for each in futures if not each.done() or each.exception() is not None]
    for each in waiting:
        if each.done():
            each.result()
    return not waiting
