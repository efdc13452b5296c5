"""Running jobs by hand: a worker for the length of a block, without a dispatcher."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from uuid import UUID

from fastapi_jobs.attempts import Attempts
from fastapi_jobs.backends.event_loop import ImmediateBackend
from fastapi_jobs.capture import capture_logs
from fastapi_jobs.claiming import claim_rules
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.registry import registry
from fastapi_jobs.signals import Observers
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.store.claim import ClaimJobs
from fastapi_jobs.store.lanes import ClaimRules, Lane, QueueLimits
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.transaction import Hints
from fastapi_jobs.store.workers import RegisterWorker, UnregisterWorker
from fastapi_jobs.worker import worker_record


@dataclass(frozen=True, slots=True)
class Ran:
    """One attempt that was carried out; `status` is the job's by it, None if it was taken away."""

    claimed: Claimed
    status: JobStatus | None


@dataclass(slots=True)
class ByHand:
    """`async with ByHand(...) as hand`: claims and carries out what it is told to, on this loop.

    The steps are those of every worker; the backend is `immediate`, whatever a job asks for.
    """

    store: Store
    settings: Settings
    observers: Observers
    slots: int = 1
    """How many jobs run at a time."""
    _worker: UUID = field(init=False)
    _attempts: Attempts = field(init=False)
    _backend: ImmediateBackend = field(init=False)

    async def __aenter__(self) -> "ByHand":
        capture_logs()
        self._backend = ImmediateBackend(self.slots)
        self._attempts = Attempts(self.store, self.settings, self.observers)
        record = worker_record({self._backend.name: self.slots})
        self._worker = record.id
        await self.store.write(RegisterWorker(record))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.store.write(UnregisterWorker(self._worker))
        await self._backend.stop()

    async def run(self, job_id: UUID, *, unlimited: bool = False) -> Ran | None:
        """Run one job if it is due and, unless `unlimited`, if its queue and task have room."""
        rules = ClaimRules(self._backend_of, _no_limit, _no_limits) if unlimited else self._rules
        claimed = await self.store.write(self._claim(rules, 1, only=job_id))
        return await self._carry_out(claimed[0]) if claimed else None

    async def run_due(self, most: int) -> list[Ran]:
        """Run what is due until nothing is, but begin no more than `most` jobs."""
        loop, more = asyncio.get_running_loop(), asyncio.Event()
        ran: list[Ran] = []
        running: set[asyncio.Task[Ran]] = set()

        def heard(hints: Hints) -> None:
            if hints.queued:
                loop.call_soon_threadsafe(more.set)

        # A job may enqueue another and wait for it: commits are heard while jobs run.
        unlisten = self.store.listen(heard)
        try:
            while True:
                more.clear()
                room = min(self.slots, most - len(ran)) - len(running)
                if room > 0:
                    operation = self._claim(self._rules, room, idle=not running)
                    for each in await self.store.write(operation):
                        running.add(loop.create_task(self._carry_out(each), name=str(each.id)))
                if not running:
                    return ran
                running, done = await _first_of(running, more)
                ran += [task.result() for task in done]
        finally:
            unlisten()
            for task in running:
                task.cancel()

    @property
    def _rules(self) -> ClaimRules:
        return claim_rules(self.settings, self._backend_of)

    def _claim(
        self, rules: ClaimRules, room: int, *, only: UUID | None = None, idle: bool = False
    ) -> ClaimJobs:
        slots = {self._backend.name: room}
        return ClaimJobs(self._worker, rules, slots, utc_now(), idle=idle, only=only)

    async def _carry_out(self, claimed: Claimed) -> Ran:
        call = self._attempts.call_of(claimed, registry.find(claimed.task))
        return Ran(claimed, await self._attempts.carry_out(call, self._backend))

    def _backend_of(self, lane: Lane) -> str | None:
        return self._backend.name if lane.task in registry else None


def _no_limit(task: str) -> None:
    return None


def _no_limits(queue: str) -> QueueLimits:
    return QueueLimits(None, 0, False)


async def _first_of(
    running: set["asyncio.Task[Ran]"], more: asyncio.Event
) -> tuple[set["asyncio.Task[Ran]"], set["asyncio.Task[Ran]"]]:
    """Wait until one of them is done, or there is more to claim; what still runs, what is done."""
    waiting = asyncio.ensure_future(more.wait())
    try:
        await asyncio.wait({*running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    done = {task for task in running if task.done()}
    return running - done, done
