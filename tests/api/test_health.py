"""GET /jobs/health."""

import time
from collections.abc import Callable

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from tests.api.conftest import Serve, create, make_jobs, serve, until
from tests.api.tasks import secret
from tests.redis_server import RedisServer
from tests.servers import PostgresServer


async def test_details_for_those_who_may_see_them(serve_jobs: Serve) -> None:
    async with serve_jobs(permission=lambda r, action, job: "x-staff" in r.headers) as client:
        bare = await client.get("/jobs/health")
        full = await client.get("/jobs/health", headers={"x-staff": "1"})
    assert (bare.status_code, bare.json()) == (200, {"status": "ok"})
    details = full.json()
    assert (details["status"], details["dispatcher"]) == ("ok", "running")
    assert details["unknown_tasks"] == []
    [worker] = details["workers"]
    assert worker["pid"] > 0
    assert "asyncio" in worker["backends"]


async def test_a_task_that_no_worker_knows_is_named(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        await create(client, "add", 1)
        details = (await client.get("/jobs/health")).json()
    assert details["unknown_tasks"] == ["tests.api.tasks.add"]
    assert (details["workers"], details["dispatcher"]) == ([], "off")


async def test_a_database_that_is_away_is_503_until_it_is_back(
    postgres_server_factory: Callable[..., PostgresServer],
) -> None:
    server = postgres_server_factory()
    with server.fresh_database() as url:
        jobs, app = make_jobs(url, store_timeout=5), FastAPI()
        jobs.init_app(app, permission=lambda r, action, job: "x-out" not in r.headers)
        async with serve(app) as client:
            assert (await client.get("/jobs/health")).status_code == 200
            server.stop()
            begun = time.monotonic()
            health = await client.get("/jobs/health")
            assert time.monotonic() - begun < 60
            bare = await client.get("/jobs/health", headers={"x-out": "1"})
            refused = await client.post("/jobs", json={"task": "tests.api.tasks.add", "args": [1]})
            listed = await client.get("/jobs")
            server.start()

            async def is_back() -> bool:
                return (await client.get("/jobs/health")).status_code == 200

            await until(is_back)
            await create(client, "add", 1)
    for answer in (health, bare, refused, listed):
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
    assert bare.json()["detail"] == "The database of the jobs does not answer now."
    assert len(health.json()["detail"]) > len(bare.json()["detail"])
    assert refused.json()["detail"] == (
        "The database of the jobs does not answer now. Try again later."
    )
    assert secret.name not in health.text


async def test_tables_that_are_missing_are_a_503(sqlite_url: str) -> None:
    app = FastAPI()
    app.include_router(make_jobs(sqlite_url, migrate=False).router())
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client:
        answer = await client.get("/jobs")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_migrated")
    assert "Run: fastapi-jobs migrate" in answer.json()["detail"]


async def test_a_redis_that_is_away_is_named(sqlite_url: str, own_redis: RedisServer) -> None:
    app = FastAPI()
    jobs = make_jobs(sqlite_url, redis_url=own_redis.url())
    jobs.init_app(app, permission=lambda r, action, job: "x-staff" in r.headers)
    async with serve(app) as client:

        async def says(status: str) -> bool:
            health = await client.get("/jobs/health", headers={"x-staff": "1"})
            assert health.status_code == 200
            return bool(health.json()["status"] == status)

        await until(lambda: says("ok"))
        own_redis.stop()
        await until(lambda: says("degraded"))
        said = (await client.get("/jobs/health", headers={"x-staff": "1"})).json()
        assert said["redis"].startswith("ConnectionError: ")
        assert said.get("broker") is None
        assert (await client.get("/jobs/health")).json() == {"status": "degraded"}
        own_redis.start()
        await until(lambda: says("ok"))
