"""An endpoint of the host's own that enqueues: a refusal is an answer, not a server's failure."""

import sqlite3
from pathlib import Path

from fastapi import FastAPI

from tests.api.conftest import make_jobs, serve
from tests.api.tasks import add


def host(database_url: str, **overrides: object) -> FastAPI:
    """An app whose only endpoint enqueues."""
    app = FastAPI()
    make_jobs(database_url, **overrides).init_app(app)

    @app.post("/add", status_code=202)
    async def endpoint() -> dict[str, str]:
        return {"id": str((await add.using(run_after=3600).enqueue(1, 2)).id)}

    return app


async def test_a_full_queue_is_429(database_url: str) -> None:
    async with serve(host(database_url, max_queued=1)) as client:
        assert (await client.post("/add")).status_code == 202
        refused = await client.post("/add")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "queue_full"


async def test_a_locked_database_is_503(sqlite_url: str, tmp_path: Path) -> None:
    async with serve(host(sqlite_url, store_timeout=2)) as client:
        lock = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        refused = await client.post("/add")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert refused.json()["code"] == "store_unavailable"
        lock.execute("ROLLBACK")
        lock.close()
        assert (await client.post("/add")).status_code == 202
