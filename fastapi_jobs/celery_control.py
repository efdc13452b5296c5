"""`revoke` and `terminate`, of Celery's commands and of Flower's buttons: they cancel the job.

Celery itself would keep the id in the memory of each worker that hears of it, throw the job's
messages away for as long as that lives, and kill the process of a job that runs.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

from celery.worker.control import Panel

from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import IllegalMove, JobNotFound, StoreUnavailable
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.store import store_of

logger = logging.getLogger("fastapi_jobs.celery")

REASON = "revoked by Celery's remote control"


class Revoking:
    """The commands of the workers in this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The commands come in the thread that consumes, which must not wait for the database.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastapi-jobs-revoke")

    def take_over(self) -> None:
        """Replace Celery's own commands; what it says of their arguments stays."""
        Panel.data["revoke"] = self._revoke
        Panel.data["terminate"] = self._terminate

    def _revoke(
        self, state: Any, task_id: str | list[str], terminate: bool = False, **_: Any
    ) -> dict[str, str]:
        """Cancel jobs that wait; with `terminate`, those that run, too."""
        named = [task_id] if isinstance(task_id, str) else task_id
        ids = [UUID(each) for each in named if _is_id(each)]
        self._thread.submit(self._cancel, ids, terminate)
        return {"ok": f"{len(ids)} of {len(named)} ids are jobs to cancel"}

    def _terminate(self, state: Any, signal: str, task_id: Any, **_: Any) -> dict[str, str]:
        return self._revoke(state, task_id, terminate=True)

    def _cancel(self, ids: Iterable[UUID], terminate: bool) -> None:
        # Opened for this alone: no child is to inherit a connection that stays open.
        store = store_of(self._settings)
        try:
            store.open()
            for job_id in ids:
                self._cancel_one(store, job_id, terminate)
        except StoreUnavailable as error:
            logger.error("jobs could not be revoked: %s", error)
        finally:
            store.close()

    def _cancel_one(self, store: Store, job_id: UUID, terminate: bool) -> None:
        record = store.read_sync(queries.get_job, job_id)
        if record is not None and record.status == JobStatus.RUNNING and not terminate:
            logger.info("job %s runs: only terminate ends it", job_id)
            return
        try:
            store.write_sync(RequestCancel(job_id, utc_now(), REASON))
        except (IllegalMove, JobNotFound) as error:
            logger.info("nothing to revoke: %s", error)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
