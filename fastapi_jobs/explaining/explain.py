"""Why is this job not running? One read of the store, then words."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

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
    facts = await store.read(gather, job_id, _Rivals(settings, now))
    return _explained(settings, facts, job_id, viewer, now)


def explain_sync(
    store: Store, settings: Settings, job_id: UUID, viewer: Viewer = EVERYBODY
) -> Explanation:
    """The same, blocking."""
    now = utc_now()
    facts = store.read_sync(gather, job_id, _Rivals(settings, now))
    return _explained(settings, facts, job_id, viewer, now)


class _Rivals:
    """Which lanes compete with the job that the store has just found."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        self._settings, self._now = settings, now

    def __call__(self, standing: Standing) -> Rivals:
        return Surroundings(self._settings, standing, self._now).rivals()


def _explained(
    settings: Settings, facts: Facts | None, job_id: UUID, viewer: Viewer, now: datetime
) -> Explanation:
    if facts is None:
        raise JobNotFound(job_id)
    job = facts.standing.job
    around = Surroundings(settings, facts.standing, now)
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
