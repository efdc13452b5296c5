"""An app with jobs in it, and a client that talks to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from fastapi_jobs import FastAPIJobs

GENEROUS = 20.0
QUICK: dict[str, Any] = {
    "migrate": True,
    "lease_seconds": 2.0,
    "heartbeat_seconds": 0.5,
    "poll_seconds": 0.05,
    "shutdown_seconds": 0.1,
}


def make_jobs(database_url: str, **overrides: Any) -> FastAPIJobs:
    """A FastAPIJobs that is quick to notice things."""
    return FastAPIJobs(database_url=database_url, **QUICK | overrides)


@pytest.fixture(autouse=True)
def patient_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """That this process stood still is not the database's fault."""
    monkeypatch.setattr("fastapi_jobs.api.health.PATIENCE_SECONDS", 30.0)


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of an app whose lifespan runs."""
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app=app)
        async with AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            yield client


Serve = Callable[..., AbstractAsyncContextManager[AsyncClient]]


@pytest.fixture
def serve_jobs(database_url: str) -> Serve:
    """`async with serve_jobs(permission=..., max_payload=...) as client`."""

    @asynccontextmanager
    async def start(**options: Any) -> AsyncIterator[AsyncClient]:
        hooks = {k: options.pop(k) for k in ("permission", "scope", "owner") if k in options}
        jobs, app = make_jobs(database_url, **options), FastAPI()
        jobs.init_app(app, **hooks)
        app.state.jobs = jobs
        async with serve(app) as client:
            yield client

    return start


@pytest.fixture
async def client(serve_jobs: Serve) -> AsyncIterator[AsyncClient]:
    """A client of an app with jobs and no hooks."""
    async with serve_jobs() as each:
        yield each


async def create(client: AsyncClient, name: str, *args: object, **kwargs: object) -> dict[str, Any]:
    """Enqueue a task of these tests; the record."""
    body = {"task": f"tests.api.tasks.{name}", "args": args, "kwargs": kwargs}
    answer = await client.post("/jobs", json=body)
    assert answer.status_code == 202, answer.text
    record: dict[str, Any] = answer.json()
    return record


async def finished(client: AsyncClient, job_id: str, **headers: str) -> dict[str, Any]:
    """The record once the job has ended."""
    answer = await client.get(f"/jobs/{job_id}", params={"wait": GENEROUS}, headers=headers)
    record: dict[str, Any] = answer.json()
    assert record["finished_at"], record
    return record


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(GENEROUS):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
