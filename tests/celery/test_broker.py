"""A broker that is away, that forgets, and that holds what nobody can read."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from fastapi_jobs import FastAPIJobs, JobStatus
from fastapi_jobs.explaining import EVERYBODY, ReasonCode, Viewer, explain, explain_sync
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store import queries
from fastapi_jobs.testing.conformance.gate import eventually
from tests.celery.conftest import Place, trouble
from tests.celery.tasks import add, count, letter, runs
from tests.celery_worker import LIMIT
from tests.redis_server import RedisServer


async def health(app: FastAPIJobs) -> Any:
    """What `GET /jobs/health` answers."""
    return await ask(app, "/jobs/health")


async def explanation(
    app: FastAPIJobs, job_id: UUID, viewer: Viewer = EVERYBODY
) -> dict[ReasonCode, str]:
    """The sentences of `explain`."""
    found = await explain(app.runtime.store, app.runtime.settings, job_id, viewer)
    return {each.code: each.text for each in found.reasons}


async def ask(app: FastAPIJobs, path: str) -> Any:
    """What a GET answers to who may do everything."""
    host = FastAPI()
    host.include_router(app.router(permission=lambda request, action, job: True))
    async with AsyncClient(transport=ASGITransport(host), base_url="http://jobs") as client:
        return (await client.get(path)).json()


async def test_enqueue_does_not_notice_a_broker_that_is_down(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    own_redis.stop()
    jobs = [await add.enqueue(1, number) for number in range(10)]
    await eventually(lambda: trouble(sqlite_app) is not None, "the relay notices")
    assert {(await job.refresh()).status for job in jobs} == {JobStatus.QUEUED}
    said = await health(sqlite_app)
    assert (said["status"], "ConnectionError" in said["broker"]) == ("degraded", True), said
    own_redis.start()
    sqlite_place.worker()
    assert [await job.result(LIMIT) for job in jobs] == list(range(1, 11))
    # The worker may have published them, which found the broker back before this process did.
    await eventually(lambda: trouble(sqlite_app) is None, "the relay notices")
    said = await health(sqlite_app)
    assert (said["status"], said.get("broker")) == ("ok", None)


async def test_nor_one_that_says_nothing(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    with own_redis.paused():
        jobs = [await add.enqueue(1, number) for number in range(10)]
        await eventually(lambda: trouble(sqlite_app) is not None, "the relay notices")
    sqlite_place.worker()
    assert [await job.result(LIMIT) for job in jobs] == list(range(1, 11))


async def test_one_that_goes_while_nothing_is_published_is_noticed(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    sqlite_place.worker()
    assert await (await add.enqueue(1, 1)).result(LIMIT) == 2
    own_redis.stop()
    await eventually(lambda: trouble(sqlite_app) is not None, "the relay notices")
    assert (await health(sqlite_app))["status"] == "degraded"
    own_redis.start()
    await eventually(lambda: trouble(sqlite_app) is None, "the relay notices")


async def test_explain_names_a_broker_that_is_down(
    sqlite_place: Place, own_redis: RedisServer
) -> None:
    sqlite_place.settings["celery"] |= {"broker_url": own_redis.url().replace("//", "//:hush@")}
    own_redis.stop()
    async with sqlite_place.app() as app:
        job = await add.enqueue(1, 1)
        reasons = (await ask(app, f"/jobs/{job.id}/explain"))["reasons"]
        [said] = [each for each in reasons if each["code"] == ReasonCode.BROKER_AWAY]
        broker = f"redis://:***@127.0.0.1:{own_redis.port}/0"
        assert said["text"].startswith(f"The broker {broker} does not answer: ConnectionError: ")
        assert "Connection refused. The job waits in the database, and is " in said["text"]
        assert said["text"].endswith(" published when the broker answers.")
        assert (said["values"]["broker"], "hush" in str(said)) == (broker, False)
        outsider = await explanation(app, job.id, Viewer(sees_workers=False))
        assert outsider[ReasonCode.BROKER_AWAY].startswith("The broker of its workers does not")
        store, settings = app.runtime.store, app.runtime.settings
        blocking = await asyncio.to_thread(explain_sync, store, settings, job.id)
        assert said["text"] in [each.text for each in blocking.reasons]
        own_redis.start()
        with redis.Redis(port=own_redis.port) as client:
            client.config_set("requirepass", "hush")
        assert ReasonCode.BROKER_AWAY not in await explanation(app, job.id)


async def test_what_a_broker_forgot_is_published_again(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    jobs = [await add.enqueue(1, number) for number in range(10)]
    await eventually(lambda: own_redis.length("fastapi_jobs.") >= 10, "they are published")
    own_redis.flush()
    sqlite_place.worker()
    assert [await job.result(LIMIT) for job in jobs] == list(range(1, 11))


async def test_a_worker_goes_on_after_its_broker_came_back(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    sqlite_place.worker()
    assert await (await add.enqueue(1, 1)).result(LIMIT) == 2
    own_redis.stop()
    job = await add.enqueue(2, 2)
    await eventually(lambda: trouble(sqlite_app) is not None, "the relay notices")
    own_redis.start()
    assert await job.result(LIMIT) == 4


async def test_nor_does_it_fall_with_messages_that_it_cannot_acknowledge(
    sqlite_place: Place, own_redis: RedisServer, pool: str
) -> None:
    sqlite_place.settings["celery"] |= {"batch_seconds": 0, "pool": pool}
    async with sqlite_place.app() as app:
        worker = sqlite_place.worker()
        for _ in range(3):
            jobs = [await add.enqueue(1, number) for number in range(100)]
            assert await jobs[10].result(LIMIT) == 11
            own_redis.stop()
            # All of the others may have been published and have ended before it stopped.
            jobs.append(await add.enqueue(1, 100))
            await eventually(lambda: trouble(app) is not None, "the relay notices")
            own_redis.start()
            assert [await job.result(LIMIT) for job in jobs] == list(range(1, 102))
        assert worker.process.poll() is None


async def test_a_message_that_comes_twice_runs_once(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    job = await count.enqueue(str(file))
    await eventually(lambda: own_redis.length("fastapi_jobs.") >= 1, "it is published")
    with redis.Redis(port=own_redis.port) as client:
        [queue] = list(client.scan_iter("fastapi_jobs.*", _type="list"))
        [message, *_] = client.lrange(queue, 0, -1)
        for number in range(3):
            copy = json.loads(message)
            copy["properties"]["delivery_tag"] = f"copy-{number}"
            client.lpush(queue, json.dumps(copy))
        sqlite_place.worker()
        last = await add.enqueue(1, 1)
        assert await last.result(LIMIT) == 2
        await eventually(lambda: own_redis.length("fastapi_jobs.") == 0, "all are consumed")
    assert (await job.wait(LIMIT)).attempt == 1
    assert runs(file) == 1


async def test_garbage_is_dropped_and_the_worker_lives(
    sqlite_place: Place, sqlite_app: FastAPIJobs, own_redis: RedisServer
) -> None:
    worker = sqlite_place.worker()
    assert await (await add.enqueue(1, 1)).result(LIMIT) == 2
    with redis.Redis(port=own_redis.port) as client:
        unknown = {"body": "W10=", "headers": {"task": "no.such.task", "id": "x"}}
        properties = {"delivery_tag": "g", "body_encoding": "base64", "delivery_info": {}}
        shared = {"content-type": "application/json", "content-encoding": "utf-8"}
        message = unknown | shared | {"properties": properties}
        client.lpush("fastapi_jobs.default", json.dumps(message))
    assert await (await add.enqueue(2, 2)).result(LIMIT) == 4
    assert worker.process.poll() is None


async def test_no_more_than_the_window_is_with_the_broker(
    sqlite_place: Place, own_redis: RedisServer, tmp_path: Path
) -> None:
    """The largest priority is published first, and a later one overtakes what still waits."""
    file = tmp_path / "letters"
    sqlite_place.settings["celery"] |= {"window": 3, "concurrency": 1, "batch_seconds": 0}
    async with sqlite_place.app() as app:
        for name in "abcdefgh":
            await letter.enqueue(str(file), name)
        await eventually(lambda: own_redis.length("fastapi_jobs.") >= 3, "the window is full")
        urgent = await letter.using(priority=100).enqueue(str(file), "urgent")
        sqlite_place.worker()
        assert (await urgent.wait(LIMIT)).status is JobStatus.SUCCEEDED
        await eventually(lambda: len(file.read_text().split()) == 9, "all have run")
        order = file.read_text().split()
        assert order.index("urgent") <= 3 + 2
        others = [name for name in order if name != "urgent"]
        assert sorted(others) == list("abcdefgh")
        # Two relays may hand over in another order than they chose in; a window bounds that.
        assert all(abs(others.index(name) - place) < 3 for place, name in enumerate("abcdefgh"))
        attempts = await app.runtime.store.read(queries.get_attempts, urgent.id)
        assert [each.outcome for each in attempts] == [AttemptOutcome.SUCCEEDED]
