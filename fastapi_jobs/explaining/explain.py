"""Why is this job not running? One read of the store, a question to its broker, then words."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from fastapi_jobs.backends.broker import BrokerUnavailable
from fastapi_jobs.checks.broker import ask_broker
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import JobNotFound
from fastapi_jobs.explaining.obstacles import why_not_due, why_waiting
from fastapi_jobs.explaining.present import how_ended, where_running
from fastapi_jobs.explaining.reasons import Explanation, Reason, ReasonCode, Viewer
from fastapi_jobs.explaining.surroundings import Surroundings
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.store.explain import Facts, Rivals, Standing, gather

EVERYBODY = Viewer()


async def explain(
    store: Store, settings: Settings, job_id: UUID, viewer: Viewer = EVERYBODY
) -> Explanation:
    """Why a job is not running, where it runs, or how it ended.

    Raises:
        JobNotFound, StoreUnavailable
    """
    now = utc_now()
    found = await store.read(gather, job_id, _Rivals(settings, now))
    around, facts = _around(settings, found, job_id, now)
    if around.comes_by_broker:
        # In a thread: to load Celery, and to wait for a broker, takes its time.
        around.broker_away = await asyncio.to_thread(_why_away, settings)
    return _explained(around, facts, viewer)


def explain_sync(
    store: Store, settings: Settings, job_id: UUID, viewer: Viewer = EVERYBODY
) -> Explanation:
    """The same, blocking."""
    now = utc_now()
    found = store.read_sync(gather, job_id, _Rivals(settings, now))
    around, facts = _around(settings, found, job_id, now)
    if around.comes_by_broker:
        around.broker_away = _why_away(settings)
    return _explained(around, facts, viewer)


class _Rivals:
    """Which lanes compete with the job that the store has just found."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        self._settings, self._now = settings, now

    def __call__(self, standing: Standing) -> Rivals:
        return Surroundings(self._settings, standing, self._now).rivals()


def _around(
    settings: Settings, facts: Facts | None, job_id: UUID, now: datetime
) -> tuple[Surroundings, Facts]:
    if facts is None:
        raise JobNotFound(job_id)
    return Surroundings(settings, facts.standing, now), facts


def _why_away(settings: Settings) -> BrokerUnavailable | None:
    try:
        asyncio.run(ask_broker(settings))
    except BrokerUnavailable as problem:
        return problem
    return None


def _explained(around: Surroundings, facts: Facts, viewer: Viewer) -> Explanation:
    job = around.standing.job
    reasons = tuple(reasons_of(around, facts, viewer))
    return Explanation(job.id, job.task, job.queue, JobStatus(job.status), reasons)


def reasons_of(around: Surroundings, facts: Facts, viewer: Viewer) -> Iterator[Reason]:
    """The reasons for the status that the job has."""
    match JobStatus(around.standing.job.status):
        case JobStatus.BLOCKED:
            yield Reason(ReasonCode.BLOCKED, "It waits for other jobs to end.", {})
        case JobStatus.SCHEDULED:
            yield from why_not_due(around, viewer)
        case JobStatus.QUEUED:
            yield from why_waiting(around, facts, viewer)
        case JobStatus.RUNNING:
            yield from where_running(around, viewer)
        case JobStatus.SUCCEEDED | JobStatus.FAILED | JobStatus.CANCELLED:
            yield from how_ended(around, viewer)
