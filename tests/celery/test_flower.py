"""Flower, started on the project's Celery app, shows our workers and our tasks."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx2

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place
from tests.celery.tasks import add
from tests.celery_worker import LIMIT, CeleryWorker, serving
from tests.servers import free_port

FLOWER = (sys.executable, "-m", "celery", "-A", "fastapi_jobs.celery_app", "flower")


class Flower:
    """What its pages and its API say."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=LIMIT)

    def page(self, path: str) -> str:
        """A page's text."""
        answer = self._client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def api(self, path: str) -> Any:
        """What its API answers."""
        return self._client.get(f"/api{path}").json()

    def revoke(self, job_id: object, **parameters: str) -> None:
        """The button of a task's page."""
        answer = self._client.post(f"/api/task/revoke/{job_id}", params=parameters)
        assert answer.status_code == 200, answer.text

    def is_there(self) -> bool:
        """Whether it answers."""
        with suppress(httpx2.HTTPError):
            return self._client.get("/healthcheck").status_code == 200
        return False

    def close(self) -> None:
        """Hang up."""
        self._client.close()


@contextmanager
def flower_of(worker: CeleryWorker) -> Iterator[Flower]:
    """A running Flower with the settings of this worker."""
    port, log = free_port(), worker.settings.with_name("flower.log")
    command = [*FLOWER, "--address=127.0.0.1", f"--port={port}"]
    more = {"FLOWER_UNAUTHENTICATED_API": "1"}
    flower = Flower(f"http://127.0.0.1:{port}")
    with closing(flower), serving(command, worker.settings, log, flower.is_there, **more):
        yield flower


async def test_flower_shows_workers_and_tasks(place: Place, app: FastAPIJobs) -> None:
    worker = place.worker()
    name = f"{worker.process.pid}@{os.uname().nodename}"
    with flower_of(worker) as flower:
        await eventually(lambda: name in flower.page("/workers"), "its page names the worker")
        await eventually(lambda: _knows(flower, name), "the worker answers it")
        assert add.name in flower.api("/workers")[name]["registered"]
        # Flower asks the workers for events of their tasks some seconds after its start.
        made: list[str] = []

        async def shown() -> bool:
            job = await add.enqueue(1, 2)
            assert await job.result(LIMIT) == 3
            made.append(str(job.id))
            # What tells the name of the first ones may have come before Flower listened.
            return any(each["name"] for each in flower.api("/tasks").values())

        await eventually(shown, "it shows a task")
        [seen, *_] = [each for each in flower.api("/tasks").values() if each["name"]]
        assert (seen["name"], seen["uuid"] in made) == (add.name, True)
        assert add.name in flower.page(f"/task/{seen['uuid']}")
        await eventually(lambda: flower.api("/workers?status=1") == {name: True}, "it is online")


def _knows(flower: Flower, name: str) -> bool:
    return "registered" in flower.api("/workers?refresh=1").get(name, {})
