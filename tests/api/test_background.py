"""BackgroundJobs: all with the endpoint's return, or none."""

import sqlite3
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, HTTPException
from httpx2 import AsyncClient
from pydantic import BaseModel

from fastapi_jobs import BackgroundJobs, FastAPIJobs
from fastapi_jobs.errors import InvalidArguments, InvalidOption
from tests.api.conftest import Serve, finished, make_jobs, serve
from tests.api.tasks import add, alone, in_a_thread


class Answer(BaseModel):
    """What an endpoint says it returns."""

    id: UUID


def make_app(jobs: FastAPIJobs) -> FastAPI:
    """Endpoints with BackgroundJobs."""
    app = FastAPI()

    @app.post("/async")
    async def collect(background: BackgroundJobs) -> list[UUID]:
        first = background.add_task(add, 1, b=3)
        assert (await jobs.list())[0] == [], "nothing is stored before the endpoint returns"
        return [first, background.add_task(in_a_thread.using(tags=["x"]), 5)]

    @app.post("/sync")
    def collect_sync(background: BackgroundJobs) -> list[UUID]:
        return [background.add_task(add, 1, b=3), background.add_task(in_a_thread, 5)]

    @app.post("/one")
    async def collect_one(background: BackgroundJobs) -> list[UUID]:
        return [background.add_task(add, 1)]

    @app.post("/none")
    async def collect_none(background: BackgroundJobs) -> list[UUID]:
        return []

    @app.post("/raises")
    async def raises(background: BackgroundJobs) -> None:
        background.add_task(add, 1)
        raise RuntimeError("broken")

    @app.post("/refuses")
    def refuses(background: BackgroundJobs) -> None:
        background.add_task(add, 1)
        raise HTTPException(409, "no")

    @app.post("/mistakes")
    async def mistakes(background: BackgroundJobs) -> Answer:
        background.add_task(add, 1)
        return "not an answer"  # type: ignore[return-value]

    return app


@pytest.fixture
def jobs(database_url: str) -> FastAPIJobs:
    """A FastAPIJobs on either database."""
    return make_jobs(database_url)


@pytest.mark.parametrize("path", ["/async", "/sync"])
async def test_all_are_stored_before_the_response(jobs: FastAPIJobs, path: str) -> None:
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        answer = await client.post(path)
        assert answer.status_code == 200
        there = {str(job.id) for job in (await jobs.list())[0]}
        assert there == set(answer.json())
        results = [(await finished(client, each))["result"] for each in answer.json()]
    assert results == [4, 10]


async def test_one_and_none(jobs: FastAPIJobs) -> None:
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        assert (await client.post("/none")).json() == []
        [only] = (await client.post("/one")).json()
        assert (await finished(client, only))["result"] == 3
        assert len((await jobs.list())[0]) == 1


@pytest.mark.parametrize("path", ["/raises", "/refuses", "/mistakes"])
async def test_an_endpoint_that_raises_stores_nothing(jobs: FastAPIJobs, path: str) -> None:
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        if path == "/refuses":
            answer = await client.post(path)
            assert (answer.status_code, answer.json()) == (409, {"detail": "no"})
        else:
            with pytest.raises(Exception, match=r"broken|model_attributes_type|valid dictionary"):
                await client.post(path)
        assert (await jobs.list())[0] == []


async def locked(client: AsyncClient, url: str, path: str) -> Any:
    """The answer while somebody else holds SQLite's write lock."""
    lock = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        return await client.post(path)
    finally:
        lock.close()


@pytest.mark.parametrize("path", ["/async", "/one"])
async def test_a_commit_that_fails_is_503(sqlite_url: str, path: str) -> None:
    jobs = make_jobs(sqlite_url, store_timeout=5)
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        answer = await locked(client, sqlite_url, path)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "store_unavailable"
        assert (await jobs.list())[0] == []
        assert (await client.post(path)).status_code == 200


async def test_without_init_app_it_is_a_503_all_the_same(sqlite_url: str) -> None:
    jobs = make_jobs(sqlite_url, store_timeout=5)
    app = make_app(jobs)
    app.router.lifespan_context = jobs.lifespan
    async with serve(app) as client:
        answer = await locked(client, sqlite_url, "/one")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "The database of the jobs does not answer now." in answer.json()["detail"]


async def test_a_full_queue_is_429_and_stores_none(database_url: str) -> None:
    jobs = make_jobs(database_url, max_queued=1, dispatch=False)
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        answer = await client.post("/sync")
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert (await jobs.list())[0] == []


@pytest.mark.parametrize("path", ["/async", "/one"])
async def test_the_immediate_backend_runs_them_before_the_response(
    serve_jobs: Serve, sqlite_url: str, path: str
) -> None:
    jobs = make_jobs(sqlite_url, backend="immediate")
    app = make_app(jobs)
    jobs.init_app(app)
    async with serve(app) as client:
        for each in (await client.post(path)).json():
            assert (await client.get(f"/jobs/{each}")).json()["status"] == "succeeded"


async def test_what_add_task_refuses(sqlite_url: str) -> None:
    jobs, app, seen = make_jobs(sqlite_url), FastAPI(), []

    def plain() -> None: ...

    @app.post("/")
    async def endpoint(background: BackgroundJobs) -> None:
        seen.append(background)
        with pytest.raises(InvalidArguments, match="parameter 'a'"):
            background.add_task(add, "x")  # type: ignore[arg-type]
        with pytest.raises(InvalidOption, match="Mark the function with @task"):
            background.add_task(plain)  # type: ignore[arg-type]
        background.add_task(add, 1)
        other = make_jobs(sqlite_url, name="other")
        with pytest.raises(InvalidOption, match="committed together, so by one FastAPIJobs"):
            background.add_task(add.using(app=other), 1)

    jobs.init_app(app)
    async with serve(app) as client:
        assert (await client.post("/")).status_code == 200
        with pytest.raises(InvalidOption, match=r"the endpoint has returned .* Use task\.enqueue"):
            seen[0].add_task(add, 1)
        assert len((await jobs.list())[0]) == 1


async def test_a_unique_task_whose_key_is_held_stores_nothing(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()

    @app.post("/")
    async def endpoint(background: BackgroundJobs) -> None:
        background.add_task(alone, 600)
        background.add_task(alone, 600)
        background.add_task(add, 1)

    jobs.init_app(app)
    async with serve(app) as client:
        for _ in range(2):
            assert (await client.post("/")).status_code == 200
        names = sorted(job.task.rpartition(".")[2] for job in (await jobs.list())[0])
        assert names == ["add", "add", "alone"]
