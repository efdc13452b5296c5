"""By which rules jobs are claimed: the backend of a lane, and the limits on tasks and queues."""

from collections.abc import Callable
from functools import partial

from fastapi_jobs.conf import Settings
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.store.lanes import ClaimRules, Lane, QueueLimits


def effective_backend(
    settings: Settings, definition: TaskDefinition, queue: str, override: str = ""
) -> str:
    """The backend of a job: `using`, then its queue, then its task, then the settings."""
    return (
        override or settings.queue(queue).backend or definition.options.backend or settings.backend
    )


def backend_of_lane(settings: Settings, lane: Lane) -> str | None:
    """The backend of a lane's jobs, or None: its task is not known here (law 9)."""
    definition = registry.get(lane.task)
    if definition is None:
        return None
    return effective_backend(settings, definition, lane.queue, lane.backend)


def claim_rules(settings: Settings, resolve: Callable[[Lane], str | None]) -> ClaimRules:
    """The limits that settings and tasks declare, for the lanes that `resolve` knows."""
    return ClaimRules(resolve, _task_limit, partial(declared_limits, settings))


def declared_limits(settings: Settings, queue: str) -> QueueLimits:
    """What the settings say of a queue."""
    declared = settings.queue(queue)
    return QueueLimits(declared.max_running, declared.priority, declared.paused)


def _task_limit(task: str) -> int | None:
    definition = registry.get(task)
    return None if definition is None else definition.options.max_running
