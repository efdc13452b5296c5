"""What would hurt in production, in sentences: judged at start-up and by `fastapi-jobs check`."""

import logging
from collections.abc import Mapping

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.celery import celery_backend
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.claiming import effective_backend
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import TaskDefinitionError
from fastapi_jobs.options import DEFAULT_QUEUE
from fastapi_jobs.registry import TaskDefinition, registry

logger = logging.getLogger("fastapi_jobs")


def queue_of(settings: Settings, definition: TaskDefinition) -> str:
    """The queue of a task's jobs unless `using(queue=)` says otherwise.

    `routes` wins over `@task(queue=)`: whoever operates the app decides where work goes.
    """
    return settings.route(definition.name) or definition.options.queue or DEFAULT_QUEUE


def shortcomings(
    settings: Settings, backends: Mapping[str, Backend]
) -> list[tuple[TaskDefinition, str]]:
    """What the effective backends cannot do for the registered tasks."""
    found: list[tuple[TaskDefinition, str]] = []
    for definition in registry.values():
        queue = queue_of(settings, definition)
        name = effective_backend(settings, definition, queue)
        backend = celery_backend(settings, queue) if name == CELERY else backends.get(name)
        if backend is None:
            continue
        option = definition.options.timeout
        timeout = settings.timeout if option is None else option
        found.extend((definition, each) for each in backend.shortcomings(definition, timeout))
    return found


def warn_of_shortcomings(settings: Settings, backends: Mapping[str, Backend]) -> None:
    """Log every shortcoming once.

    Raises:
        TaskDefinitionError: with `strict_capabilities`, for the first one.
    """
    for definition, problem in shortcomings(settings, backends):
        if settings.strict_capabilities:
            raise TaskDefinitionError(definition.name, "", problem)
        logger.warning("task %r: %s", definition.name, problem)
