"""What a user of the app sees, with what may differ from backend to backend made alike."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx2

from fastapi_jobs.testing.conformance.gate import Gate
from tests.servers import wait_until

LIMIT = 60.0
FINAL = ("succeeded", "failed", "cancelled")
OWN = ("backend", "worker", "worker_id")
"""Fields that say where a job ran."""

MISSING = "nothing there"
TIMES = ("at", "run_after", "seconds")

_SPOKEN = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "<time>"),
    (re.compile(r"\b\d+(\.\d)? s\b"), "<seconds>"),
    (re.compile(r"on worker \S+, backend '\w+'"), "<where>"),
)


def alike(value: Any, folder: Path) -> Any:
    """A value of JSON without places, times and ids."""
    match value:
        case dict():
            kept = {name: each for name, each in value.items() if name not in OWN}
            return {name: _field(name, each, folder) for name, each in kept.items()}
        case list():
            return [alike(each, folder) for each in value]
        case str():
            text = value.replace(str(folder), "<folder>")
            for pattern, word in _SPOKEN:
                text = pattern.sub(word, text)
            return text
    return value


def _field(name: str, value: Any, folder: Path) -> Any:
    is_time = name in TIMES or name.endswith("_at")
    return "<time>" if is_time and value is not None else alike(value, folder)


def differences(some: Any, others: Any, path: str = "") -> list[str]:
    """Where two values of JSON are not alike, a line each."""
    if isinstance(some, dict) and isinstance(others, dict):
        names = list(some | others)
        pairs = [(some.get(name, MISSING), others.get(name, MISSING)) for name in names]
    elif isinstance(some, list) and isinstance(others, list):
        pairs = list(zip_longest(some, others, fillvalue=MISSING))
        names = list(range(len(pairs)))
    else:
        return [] if some == others else [f"{path}: {some!r} != {others!r}"]
    found = []
    for name, (one, other) in zip(names, pairs, strict=True):
        found += differences(one, other, f"{path} > {name}")
    return found


class User:
    """Somebody who knows the app's URL alone."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.stops_functions = False
        """Whether a running `def` task can be stopped here."""
        self._client = httpx2.Client(base_url=url, timeout=LIMIT)
        self.seen: dict[str, Any] = {}
        """What every scenario looked like."""

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any request."""
        answer = self._client.request(method, path, **options)
        assert answer.status_code < 500, answer.text
        return answer

    def start(self, task: str, *args: Any, **options: Any) -> str:
        """Enqueue over HTTP; the job's id."""
        body = {"task": f"tests.switching.tasks.{task}", "args": args, "options": options}
        answer = self.ask("POST", "/jobs", json=body)
        assert answer.status_code in (200, 202), answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def get(self, job_id: str) -> Mapping[str, Any]:
        """The record."""
        record: Mapping[str, Any] = self.ask("GET", f"/jobs/{job_id}").json()
        return record

    def note(self, scenario: str, job_id: str) -> None:
        """Keep what can be seen of a job now."""
        self.seen[scenario] = {
            path or "record": self._answer("GET", f"/jobs/{job_id}{path}")
            for path in ("", "/attempts", "/logs", "/result", "/explain")
        }

    def try_to(self, scenario: str, method: str, path: str, **options: Any) -> None:
        """Keep an answer."""
        self.seen[scenario] = self._answer(method, path, **options)

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        answer = self.ask(method, path, **options)
        body = answer.json() if answer.content else None
        return {"status": answer.status_code, "body": alike(body, self.folder)}

    def wait(self, job_id: str, *statuses: str) -> None:
        """Until it stands there; by default until it has ended."""
        wanted = statuses or FINAL
        end = "" if statuses else "?wait=30"
        wait_until(
            lambda: self.ask("GET", f"/jobs/{job_id}{end}").json()["status"] in wanted,
            LIMIT,
            lambda: f"{self.get(job_id)} to be {wanted}",
        )

    def wait_for_a_mark(self, job_id: str) -> None:
        """Until the record of a running job says why it still runs."""
        wait_until(lambda: bool(self.get(job_id)["reason"]), LIMIT, lambda: str(self.get(job_id)))

    def note_end(self, scenario: str, job_id: str) -> None:
        """Wait for its end and keep that."""
        self.wait(job_id)
        self.note(scenario, job_id)

    def gate(self, name: str) -> Gate:
        """A gate of its own for a scenario."""
        folder = self.folder / name.replace(" ", "-").replace("/", "-")
        folder.mkdir()
        return Gate(folder)

    def at_gate(self, task: str, gate: Gate) -> str:
        """Enqueue a job that comes to this gate, and wait until it has."""
        job_id = self.start(task, str(gate))
        wait_until(lambda: bool(gate.pids), LIMIT, lambda: str(self.get(job_id)))
        self.wait(job_id, "running", *FINAL)
        return job_id

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Until the block ends, nothing starts."""
        self.ask("POST", "/jobs/queues/default/pause")
        yield
        self.ask("POST", "/jobs/queues/default/resume")

    def is_there(self) -> bool:
        """Whether the app answers."""
        with suppress(httpx2.HTTPError):
            return self._client.get("/jobs/health").status_code == 200
        return False
