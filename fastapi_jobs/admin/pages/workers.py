"""The workers: where they are, what they may do, and what they do now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic_core import from_json
from sqladmin import Flash
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.checks import is_stale
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import WorkerNotFound
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.figures import RunningJob, running_now
from fastapi_jobs.store.workers import QuietWorker

RUNNING_SHOWN = 200
"""Of so many running jobs at most, those that run longest, the page tells which they are."""

GONE = "This worker is gone. What it ran, others take over."


@dataclass(frozen=True, slots=True)
class ShownWorker:
    """One process that runs jobs."""

    row: WorkerRecord
    is_live: bool
    running: int
    longest: Sequence[RunningJob]
    """Those of its jobs that run longest."""

    @property
    def slots(self) -> Mapping[str, int]:
        """How many jobs it runs at a time, by backend."""
        slots: Mapping[str, int] = from_json(self.row.slots)
        return slots

    @property
    def queues(self) -> Sequence[str]:
        """The queues it serves; empty is all of them."""
        queues: Sequence[str] = from_json(self.row.queues)
        return queues

    @property
    def backends(self) -> Sequence[str]:
        """Where its jobs run."""
        backends: Sequence[str] = from_json(self.row.backends)
        return backends


class WorkersPage(Page):
    """`/workers`."""

    name = "Workers"
    path = "/workers"
    icon = "ti ti-server"

    @page("/workers", Action.WORKERS)
    async def workers(self, request: Request) -> Response:
        """Every worker that has a row, and what it runs."""
        store, now = self.site.runtime.store, utc_now()
        rows = await store.read(queries.get_workers)
        runs = await store.read(running_now, RUNNING_SHOWN)
        longest: dict[UUID, list[RunningJob]] = defaultdict(list)
        for job in runs.items:
            longest[job.worker_id].append(job)
        lease = self.site.runtime.settings.lease_seconds
        return await self.render(
            request,
            "workers.html",
            workers=[
                ShownWorker(
                    row,
                    not is_stale(row, now, lease),
                    runs.by_worker.get(row.id, 0),
                    longest[row.id],
                )
                for row in rows
            ],
            now=now,
            may_quiet=await self.site.may(request, Action.QUIET),
        )

    @change("/workers/{id}/quiet", Action.QUIET)
    async def quiet_worker(self, request: Request) -> Response:
        """Let a worker claim nothing more; what it runs goes on."""
        return await self._set(request, True, "claims nothing more. What it runs goes on.")

    @change("/workers/{id}/unquiet", Action.QUIET)
    async def unquiet_worker(self, request: Request) -> Response:
        """Let a worker claim again."""
        return await self._set(request, False, "claims jobs again.")

    async def _set(self, request: Request, quiet: bool, said: str) -> Response:
        row = await self._found(request)
        name = f"{row.host}:{row.pid}"
        change_ = QuietWorker(row.id, quiet)
        details = {"worker": name, "quiet": quiet}
        try:
            await self.site.write(request, change_, Action.QUIET, str(row.id), **details)
        except WorkerNotFound:
            raise HTTPException(404, GONE) from None
        Flash.success(request, f"Worker {name} {said}")
        return await self.back(request, "/workers")

    async def _found(self, request: Request) -> WorkerRecord:
        wanted = request.path_params["id"]
        for row in await self.site.runtime.store.read(queries.get_workers):
            if str(row.id) == wanted:
                return row
        raise HTTPException(404, GONE)
