"""Which of our queues have a Celery queue of their own, and what the others travel with."""

from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.conf import Settings
from fastapi_jobs.options import DEFAULT_QUEUE
from fastapi_jobs.registry import registry


def known_queues(settings: Settings) -> set[str]:
    """Our queues that have a Celery queue of their own: those that settings and tasks name."""
    of_tasks = {each.options.queue for each in registry.values() if each.options.queue}
    return {DEFAULT_QUEUE, *settings.queues, *settings.routes.values(), *of_tasks}


def carrier(settings: Settings, queue: str, backend: str | None = CELERY) -> str:
    """The queue that a worker must serve to get the jobs of this one: on Celery, those of a queue
    that nobody declared travel with the default's.
    """
    if backend != CELERY or queue in known_queues(settings):
        return queue
    return DEFAULT_QUEUE


def queue_name(settings: Settings, queue: str) -> str:
    """The Celery queue of one of ours."""
    return f"{settings.name or 'fastapi_jobs'}.{carrier(settings, queue)}"
