"""What the API answers while the database is away."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from fastapi import FastAPI

from tests.api.conftest import make_jobs, serve, until
from tests.api.tasks import PREFIX
from tests.servers import PostgresServer

ONE = f"/jobs/{uuid4()}"
READS = ["/jobs", "/jobs/stats", "/jobs/queues", "/jobs/workers", ONE]
READS += [f"{ONE}/{each}" for each in ("attempts", "logs", "result")]


@pytest.mark.parametrize("frozen", [False, True], ids=["stopped", "frozen"])
async def test_every_route_says_when_to_come_again(
    frozen: bool, postgres_server_factory: Callable[..., PostgresServer]
) -> None:
    server = postgres_server_factory()
    with server.fresh_database() as url:
        jobs, app = make_jobs(url, dispatch=False, store_timeout=0.5), FastAPI()
        jobs.init_app(app)
        async with serve(app) as client:

            async def answers_now() -> bool:
                return (await client.get("/jobs/stats")).status_code == 200

            await until(answers_now)
            (server.pause if frozen else server.stop)()
            try:
                answers = [await client.get(path) for path in READS]
                body = {"params": {"a": 1}}
                answers.append(await client.post(f"/jobs/tasks/{PREFIX}.add", json=body))
                answers.append(await client.patch(ONE, json={"priority": 1}))
                answers.append(await client.delete(ONE))
                bulk = {"action": "cancel", "filter": {"tag": "x"}}
                answers.append(await client.post("/jobs/bulk", json=bulk))
                tasks = await client.get("/jobs/tasks")
            finally:
                (server.resume if frozen else server.start)()
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "postgresql" not in answer.text
    assert tasks.status_code == 200  # they are in no database
