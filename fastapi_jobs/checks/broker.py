"""The broker: named and answering, where jobs run on Celery, and with workers behind it."""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence

from fastapi_jobs.backends.broker import BrokerUnavailable
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.checks.capabilities import queue_of
from fastapi_jobs.checks.celery_options import (
    judge_celery_options,
    judge_one_machine,
    judge_unknown_options,
)
from fastapi_jobs.checks.findings import Finding, error, note, ok
from fastapi_jobs.checks.running import start_worker
from fastapi_jobs.claiming import effective_backend
from fastapi_jobs.conf import Settings
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.registry import registry


def examine_broker(settings: Settings) -> Iterator[Finding]:
    """Does the broker answer? Asked only where the settings or a task send jobs to Celery."""
    tasks = _tasks_of_celery(settings)
    queues = [queue.backend for queue in settings.queues.values()]
    if not tasks and CELERY not in (settings.backend, *queues):
        return
    if settings.celery.broker_url is None:
        yield error(
            "broker",
            f"Task {tasks[0]!r} runs on celery, and celery.broker_url is not set. Set it, such as "
            '"redis://localhost:6379/0", or choose another backend.',
        )
        return
    yield from judge_one_machine(settings)
    timeouts = [registry[name].options.timeout for name in tasks]
    known = [each for each in timeouts if each is not None]
    yield from judge_celery_options(settings, os.environ, known)
    yield from judge_unknown_options(_unknown_options(settings))
    try:
        name = asyncio.run(ask_broker(settings))
    except BrokerUnavailable as problem:
        origin = settings.origins.get("celery.broker_url", "settings")
        yield error(
            "broker",
            f"{str(problem).rstrip('.')}. Does it run, and is celery.broker_url right? It comes "
            f"from {origin}. Until it answers, jobs wait in the database.",
        )
        return
    yield ok("broker", f"The broker {name} answers.")


def _unknown_options(settings: Settings) -> list[str]:
    # Celery is loaded where it is used, and nowhere else.
    from fastapi_jobs.backends.celery_broker import unknown_options

    return unknown_options(settings)


async def ask_broker(settings: Settings) -> str:
    """The name of the settings' broker, which answers.

    Raises:
        BrokerUnavailable: it does not.
    """
    # Celery is loaded where it is used, and nowhere else.
    from fastapi_jobs.backends.celery_broker import CeleryBroker

    broker = CeleryBroker(settings)
    try:
        await broker.ping()
    finally:
        await broker.close()
    return broker.name


def judge_celery(settings: Settings, live: Sequence[WorkerRecord]) -> Iterator[Finding]:
    """Are there Celery workers for the tasks that run on Celery?"""
    tasks = _tasks_of_celery(settings)
    if not live or not tasks or any(CELERY in json.loads(each.backends) for each in live):
        return
    count = f"task {tasks[0]!r}" if len(tasks) == 1 else f"{len(tasks):,} tasks"
    yield note(
        "no-celery-worker",
        f"Jobs of {count} run on celery, and no Celery worker lives. Start one: "
        f"{start_worker(CELERY)}",
    )


def _tasks_of_celery(settings: Settings) -> list[str]:
    return [
        each.name
        for each in registry.values()
        if effective_backend(settings, each, queue_of(settings, each)) == CELERY
    ]
