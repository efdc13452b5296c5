"""RabbitMQ as broker: what is another's way there than Redis's."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import amqp
import pytest

from fastapi_jobs import JobStatus
from fastapi_jobs.backends import celery_broker
from fastapi_jobs.backends.broker import BrokerUnavailable
from fastapi_jobs.backends.celery_broker import CeleryBroker
from fastapi_jobs.conf import load
from fastapi_jobs.store.publishing import Message
from fastapi_jobs.testing.conformance.gate import Gate, eventually
from tests.celery.conftest import Place, settings_of, trouble
from tests.celery.tasks import add, count, letter, runs, wait_for_async
from tests.celery_worker import LIMIT
from tests.rabbit_server import RabbitServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_rabbit(rabbit_server: RabbitServer) -> Iterator[RabbitServer]:
    """A RabbitMQ of this module's own, to stop; it runs when a test begins and when it ends.

    It closes the channel of a consumer that has not acknowledged a message for 2 s.
    """
    with RabbitServer(rabbit_server.program, consumer_seconds=2) as server:
        yield server


@pytest.fixture
def rabbit_place(tmp_path: Path, sqlite_url: str, own_rabbit: RabbitServer) -> Iterator[Place]:
    """Where an app and its workers have RabbitMQ between them, and queues of their own in it."""
    with ExitStack() as stack:
        settings = settings_of(sqlite_url, own_rabbit.url, "threads") | {"name": uuid4().hex}
        yield Place(tmp_path, stack, settings)


def waiting(place: Place, server: RabbitServer, queue: str = "default") -> int:
    """How many messages wait in a queue of this place."""
    try:
        return server.length(f"{place.settings['name']}.{queue}")
    except amqp.NotFound:
        return 0


async def test_a_broker_that_dies_loses_no_job(
    rabbit_place: Place, own_rabbit: RabbitServer
) -> None:
    async with rabbit_place.app() as app:
        first = [await add.enqueue(1, number) for number in range(10)]
        await eventually(lambda: waiting(rabbit_place, own_rabbit) >= 10, "they are published")
        own_rabbit.stop()
        try:
            second = [await add.enqueue(2, number) for number in range(10)]
            await eventually(lambda: trouble(app) is not None, "the relay notices")
            assert {(await job.refresh()).status for job in second} == {JobStatus.QUEUED}
        finally:
            own_rabbit.start()
        worker = rabbit_place.worker()
        assert [await job.result(LIMIT) for job in first] == list(range(1, 11))
        assert [await job.result(LIMIT) for job in second] == list(range(2, 12))
        await eventually(lambda: trouble(app) is None, "the relay notices")
        own_rabbit.stop()
        own_rabbit.start()
        assert await (await add.enqueue(3, 3)).result(LIMIT) == 6
        assert worker.process.poll() is None


async def test_one_that_says_nothing_holds_up_nobody(
    rabbit_place: Place, own_rabbit: RabbitServer
) -> None:
    async with rabbit_place.app() as app:
        assert (await (await add.enqueue(0, 0)).refresh()).status is JobStatus.QUEUED
        await eventually(lambda: waiting(rabbit_place, own_rabbit) >= 1, "it is published")
        with own_rabbit.paused():
            jobs = [await add.enqueue(1, number) for number in range(10)]
            await eventually(lambda: trouble(app) is not None, "the relay notices")
        rabbit_place.worker()
        assert [await job.result(LIMIT) for job in jobs] == list(range(1, 11))


@pytest.fixture
async def publisher(
    own_rabbit: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CeleryBroker]:
    """The publishing side alone, connected, and patient with a slow broker."""
    patience = 4.0
    monkeypatch.setattr(celery_broker, "REPLY_SECONDS", patience)
    limits = {"read_timeout": patience, "write_timeout": patience}
    monkeypatch.setattr(celery_broker, "_AMQP_PATIENCE", limits)
    settings = settings_of("sqlite:///unused.db", own_rabbit.url, "threads")
    broker = CeleryBroker(load(None, **settings, name=uuid4().hex))
    await broker.publish([Message(uuid4(), "a", "default", 0)])
    yield broker
    await broker.close()


async def test_a_cut_connection_is_no_trouble_of_the_brokers(publisher: CeleryBroker) -> None:
    """As an idle one is cut by what stands between."""
    publisher._connection.default_channel.connection.transport.sock.close()
    await publisher.publish([Message(uuid4(), "b", "default", 0)])
    assert await publisher.held(["default"]) == {"default": 2}


async def test_what_it_did_not_confirm_is_not_published(
    publisher: CeleryBroker, own_rabbit: RabbitServer
) -> None:
    with own_rabbit.paused(), pytest.raises(BrokerUnavailable, match="timed out"):
        await publisher.publish([Message(uuid4(), "b", "default", 0)])
    await publisher.publish([Message(uuid4(), "c", "default", 0)])


async def test_its_priorities_are_ours(
    rabbit_place: Place, own_rabbit: RabbitServer, tmp_path: Path
) -> None:
    file = tmp_path / "letters"
    rabbit_place.settings["celery"] |= {"concurrency": 1}
    async with rabbit_place.app():
        for priority in (-100, 0, 100, 50):
            await letter.using(priority=priority).enqueue(str(file), str(priority))
            # Each is with the broker before the next is made: the order is the broker's.
            await eventually(
                lambda: waiting(rabbit_place, own_rabbit, "letters") > 0, "it is published"
            )
        await eventually(
            lambda: waiting(rabbit_place, own_rabbit, "letters") >= 4, "all are published"
        )
        rabbit_place.worker()
        await eventually(lambda: file.exists() and len(file.read_text().split()) == 4, "all ran")
    assert file.read_text().split() == ["100", "50", "0", "-100"]


async def test_no_more_than_the_window_is_with_it(
    rabbit_place: Place, own_rabbit: RabbitServer, tmp_path: Path
) -> None:
    file = tmp_path / "letters"
    rabbit_place.settings["celery"] |= {"window": 3, "concurrency": 1}
    async with rabbit_place.app():
        for name in "abcdefgh":
            await letter.enqueue(str(file), name)
        await eventually(
            lambda: waiting(rabbit_place, own_rabbit, "letters") >= 3, "the window is full"
        )
        urgent = await letter.using(priority=100).enqueue(str(file), "urgent")
        rabbit_place.worker()
        assert (await urgent.wait(LIMIT)).status is JobStatus.SUCCEEDED
        await eventually(lambda: len(file.read_text().split()) == 9, "all have run")
    order = file.read_text().split()
    assert order.index("urgent") <= 3 + 2


async def test_what_it_forgot_is_published_again(
    rabbit_place: Place, own_rabbit: RabbitServer
) -> None:
    async with rabbit_place.app():
        jobs = [await add.enqueue(1, number) for number in range(10)]
        await eventually(lambda: waiting(rabbit_place, own_rabbit) >= 10, "they are published")
        with own_rabbit.connected() as connection:
            connection.channel().queue_delete(f"{rabbit_place.settings['name']}.default")
        rabbit_place.worker()
        assert [await job.result(LIMIT) for job in jobs] == list(range(1, 11))


async def test_a_job_longer_than_its_patience_runs_once(
    rabbit_place: Place, gate: Gate, tmp_path: Path
) -> None:
    """RabbitMQ hands a message out anew that was not acknowledged in time (30 min)."""
    file = tmp_path / "runs"
    async with rabbit_place.app():
        worker = rabbit_place.worker()
        job = await wait_for_async.enqueue(str(gate))
        await gate.reached()
        await eventually(
            lambda: "delivery acknowledgement on channel" in worker.said(), "it loses patience"
        )
        other = await count.enqueue(str(file))
        assert (await other.wait(LIMIT)).status is JobStatus.SUCCEEDED
        gate.open()
        done = await job.wait(LIMIT)
        assert (done.status, done.attempt, len(gate.pids)) == (JobStatus.SUCCEEDED, 1, 1)
        assert runs(file) == 1
        assert worker.process.poll() is None


async def test_a_killed_worker_loses_nothing(rabbit_place: Place, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    rabbit_place.settings["celery"] |= {"pool": "prefork"}
    async with rabbit_place.app():
        worker = rabbit_place.worker()
        jobs = [await count.enqueue(str(file), 0.05) for _ in range(40)]
        await eventually(lambda: runs(file) >= 5, "some have run")
        worker.kill()
        rabbit_place.worker(name="second")
        done = [await job.wait(LIMIT) for job in jobs]
        assert {job.status for job in done} == {JobStatus.SUCCEEDED}


async def test_garbage_is_dropped_and_the_worker_lives(
    rabbit_place: Place, own_rabbit: RabbitServer
) -> None:
    async with rabbit_place.app():
        worker = rabbit_place.worker()
        assert await (await add.enqueue(1, 1)).result(LIMIT) == 2
        with own_rabbit.connected() as connection:
            channel = connection.channel()
            for message in (
                amqp.Message("garbage"),
                amqp.Message("{}", content_type="application/x-python-serialize"),
                amqp.Message("[]", application_headers={"task": "no.such.task", "id": "x"}),
            ):
                channel.basic_publish(
                    message, routing_key=f"{rabbit_place.settings['name']}.default"
                )
        assert await (await add.enqueue(2, 2)).result(LIMIT) == 4
        await eventually(lambda: waiting(rabbit_place, own_rabbit) == 0, "it is dropped")
        assert worker.process.poll() is None
