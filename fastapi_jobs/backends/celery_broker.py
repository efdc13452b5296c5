"""The Celery app that carries our jobs, and the one thread that publishes to its broker.

A message holds a job's id and nothing else: the row is the truth (law 1). The settings of the app
are those under which a broker may lose, repeat or delay a message and no harm is done.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from celery import Celery
from celery.app.defaults import DEFAULTS
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from fastapi_jobs.backends.broker import Broker, BrokerUnavailable
from fastapi_jobs.backends.celery_queues import known_queues, queue_name
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.urls import hide_password
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.options import DEFAULT_QUEUE
from fastapi_jobs.store.publishing import Message

R = TypeVar("R")

logger = logging.getLogger("fastapi_jobs.broker")

LEVELS = 10
"""Celery's brokers know priorities from 0 to 9."""

BATCH = 200
"""Messages that go to the broker in one round trip, where its transport can do that."""

REPLY_SECONDS = 2.0
"""How long the broker may take to connect or to answer."""

_AMQP_PATIENCE = {"read_timeout": REPLY_SECONDS, "write_timeout": REPLY_SECONDS}
"""For who publishes. A consumer waits for messages as long as it takes."""

ALONE = "alone"
"""The keyword of a message whose job must run alone in its process (law 6)."""


def make_celery(settings: Settings) -> Celery:
    """A Celery app by these settings, without any task."""
    url = settings.celery.broker_url or ""
    app = Celery(settings.name or "fastapi_jobs", broker=url, set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A message that comes twice finds nothing to claim; one that is lost is published again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # What a lost connection interrupted is claimed in the database: it may not cost a slot.
        worker_enable_prefetch_count_reduction=False,
        worker_consumer="fastapi_jobs.celery_consumer:Consumer",
        worker_pool=settings.celery.pool,
        worker_concurrency=settings.celery.concurrency,
        worker_proc_alive_timeout=60.0,
        worker_hijack_root_logger=False,
        worker_log_color=False,
        broker_connection_timeout=REPLY_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for its broker as long as it takes
        # RabbitMQ closes the channel of who acknowledges nothing for 30 minutes: of a long job.
        broker_channel_error_retry=True,
        task_queues=[_queue(settings, name, url) for name in sorted(known_queues(settings))],
        task_default_queue=queue_name(settings, DEFAULT_QUEUE),
        task_default_priority=broker_priority(0, url),
        task_create_missing_queues=True,
    )
    chosen = dict(settings.celery.options)
    transport = _transport_options(url) | dict(chosen.pop("broker_transport_options", {}))
    app.conf.update(chosen, broker_transport_options=transport)
    return app


def unknown_options(settings: Settings) -> list[str]:
    """Names in `celery.options` that Celery does not know, each with what may be meant."""
    return [
        f"{name!r}.{did_you_mean(name, DEFAULTS)}"
        for name in settings.celery.options
        if name not in DEFAULTS
    ]


def is_redis(url: str) -> bool:
    """Whether the broker is Redis, whose smallest number is its highest priority."""
    return url.startswith(("redis", "rediss", "sentinel", "unix"))


def _transport_options(url: str) -> dict[str, Any]:
    if not is_redis(url):
        return {}
    return {
        "socket_timeout": REPLY_SECONDS,
        "socket_connect_timeout": REPLY_SECONDS,
        "socket_keepalive": True,
        "max_retries": 0,
        "priority_steps": list(range(LEVELS)),
        "queue_order_strategy": "priority",
    }


def _queue(settings: Settings, name: str, url: str) -> Queue:
    arguments = None if is_redis(url) else {"x-max-priority": LEVELS - 1}
    full = queue_name(settings, name)
    queue: Queue = Queue(full, routing_key=full, queue_arguments=arguments)  # type: ignore[no-untyped-call]
    return queue


def broker_priority(priority: int, url: str) -> int:
    """−100..100, larger first, on the broker's scale."""
    level = round((priority + 100) / 200 * (LEVELS - 1))
    return LEVELS - 1 - level if is_redis(url) else level


class CeleryBroker(Broker):
    """Publishes from one thread, on one connection, in batches; every wait is bounded."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.celery.broker_url or ""
        self._celery = make_celery(settings)
        self._connection: Any = None
        self._producer: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastapi-jobs-publisher")
        self.name = hide_password(self._url)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand over all messages.

        Raises:
            BrokerUnavailable: some may have been taken all the same.
        """
        await self._run(lambda: self._publish(messages))

    async def held(self, queues: Iterable[str]) -> dict[str, int]:
        """How many messages wait in the Celery queue of each of ours."""
        return await self._run(lambda: {name: self._count(name) for name in queues})

    async def ping(self) -> None:
        """Ask it something.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        await self._run(lambda: self._count(DEFAULT_QUEUE))

    async def close(self) -> None:
        """Disconnect."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._safely, work)

    # In the thread.

    def _safely(self, work: Callable[[], R]) -> R:
        was_connected = self._producer is not None
        try:
            return work()
        except Exception as error:
            self._disconnect()
            if not was_connected:
                raise BrokerUnavailable(self.name, _words(error)) from error
        # What stands between may have cut an idle connection: that is no trouble of the broker's.
        return self._safely(work)

    def _connected(self) -> Any:
        if self._producer is None:
            patience = None if is_redis(self._url) else _AMQP_PATIENCE
            self._connection = self._celery.connection_for_write(transport_options=patience)
            self._connection.ensure_connection(
                max_retries=1, interval_start=0, timeout=REPLY_SECONDS
            )
            self._producer = self._celery.amqp.Producer(self._connection, auto_declare=False)
        return self._producer

    def _publish(self, messages: Sequence[Message]) -> None:
        producer = self._connected()
        with producer.batch(BATCH):
            for each in messages:
                self._celery.send_task(
                    each.task,
                    kwargs={ALONE: True} if each.suspect else {},
                    task_id=str(each.id),
                    producer=producer,
                    queue=queue_name(self._settings, each.queue),
                    priority=broker_priority(each.priority, self._url),
                    ignore_result=True,
                    retry=False,
                    add_to_parent=False,
                )
        if messages and not is_redis(self._url):
            # AMQP answers in order: what it says to this says that it has the messages.
            self._count(messages[-1].queue)

    def _count(self, queue: str) -> int:
        self._connected()
        declared = self._celery.amqp.queues[queue_name(self._settings, queue)]
        return int(declared(self._connection.default_channel).queue_declare().message_count)

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("closing the broker's connection failed", exc_info=True)


def _words(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, OperationalError) and error.__cause__ else error
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
