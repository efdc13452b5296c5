"""The app under load: one endpoint enqueues a durable job, its twin uses BackgroundTasks."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import BackgroundTasks, FastAPI

from benchmarks.harness import Raw
from benchmarks.workload import Finished, Gauge, noop
from fastapi_jobs import FastAPIJobs


class Ran:
    """How many no-ops Starlette has run."""

    count = 0


async def background_noop() -> None:
    """The twin of our no-op."""
    Ran.count += 1


class Stall:
    """The longest time the loop did not come back to a waiting timer, in seconds."""

    longest = 0.0

    async def watch(self) -> None:
        """Look every 2 ms."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.002)
            self.longest = max(self.longest, time.perf_counter() - before - 0.002)


def make_app(settings: dict[str, Any]) -> FastAPI:
    """The app; ours is opened in its lifespan."""
    stall = Stall()
    finished: list[Finished] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        jobs = FastAPIJobs(**settings)
        async with jobs:
            finished.append(Finished(jobs))
            watching = asyncio.create_task(stall.watch())
            yield
            watching.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/durable", status_code=202)
    async def durable() -> dict[str, str]:
        job = await noop.enqueue()
        return {"job_id": str(job.id)}

    @app.post("/background", status_code=202)
    async def background(tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(background_noop)
        return {"job_id": "00000000-0000-0000-0000-000000000000"}

    @app.get("/ping")
    async def ping() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/counts")
    async def counts() -> dict[str, float]:
        longest, stall.longest = stall.longest, 0.0
        return {
            "finished": finished[0].count,
            "ran": Ran.count,
            "stall": longest,
            "most": Gauge.most,
        }

    return app


def serve(url: str, port: int, queue_limit: int | None = None) -> Raw:
    """Serve until killed."""
    queues = {} if queue_limit is None else {"limited": {"max_running": queue_limit}}
    return serve_with({"database_url": url, "migrate": True, "queues": queues}, port)


def serve_with(settings: dict[str, Any], port: int) -> Raw:
    """The same by these settings."""
    app = make_app(settings)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    return {"pid": os.getpid()}
