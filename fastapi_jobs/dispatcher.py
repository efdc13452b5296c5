"""Claims due jobs for free slots and hands them to their backends."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from uuid import UUID

from fastapi_jobs.attempts import Attempts
from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.celery_queues import carrier
from fastapi_jobs.calls import Calls
from fastapi_jobs.claiming import backend_of_lane, claim_rules
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.failpoints import reach
from fastapi_jobs.making_way import MakingWay
from fastapi_jobs.offers import Offer, Offers
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.reports import Reports
from fastapi_jobs.runner import Call
from fastapi_jobs.slots import Slots
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.claim import ClaimJobs
from fastapi_jobs.store.claim_one import ClaimById, ClaimOne
from fastapi_jobs.store.finish import ReleaseJobs
from fastapi_jobs.store.lanes import Lane
from fastapi_jobs.store.rows import Claimed, NewJob, claimed_at_insert
from fastapi_jobs.store.transaction import Hints

logger = logging.getLogger("fastapi_jobs.dispatcher")

HELD_UP_SECONDS = 0.05
"""How soon to look again for a due job that could not be taken."""

ENDING_SECONDS = 5.0
"""How long a stopping process waits for the calls that it stopped."""

GIVE_BACK_SECONDS = 5.0
"""How long a stopping process tries to give jobs back while the database is away."""


class Dispatcher:
    """The claiming side of one process. All methods run on its event loop, but for `wake`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        backends: Mapping[str, Backend],
        attempts: Attempts,
        *,
        worker_id: Callable[[], UUID | None],
        only_queues: frozenset[str] = frozenset(),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._settings = store, settings
        self._backends, self._attempts = dict(backends), attempts
        self._worker_id = worker_id
        self._only_queues = only_queues
        self._now = now
        self._slots = Slots(
            {name: each.slots for name, each in self._backends.items() if not each.by_message}
        )
        self.calls = Calls(
            attempts,
            self._backends,
            self._slots,
            vacated=self._on_vacated,
            emptied=self._on_emptied,
        )
        """Every attempt under way here."""
        self._offers = Offers(
            self._slots, start=self._start_offered, withdrawn=partial(self._wake, True, False)
        )
        self._hungry: frozenset[str] = frozenset()
        self._claims = 0
        """Claims under way; `_settled` is set when none is."""
        self._settled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._wanted = True
        self._cancels_wanted = False
        self._stopping = self._has_stopped = False
        self._alone = self._suspect_waits = False
        self._rules = claim_rules(settings, self.backend_of)
        self._way = MakingWay(store, self._rules)
        self._main: asyncio.Task[None] | None = None

    # What this process runs.

    def backend_of(self, lane: Lane) -> str | None:
        """The backend that runs a lane here, or None (law 9 and `--queue`, `--backend`)."""
        name = backend_of_lane(self._settings, lane)
        if self._only_queues and carrier(self._settings, lane.queue, name) not in self._only_queues:
            return None
        return name if name in self._backends else None

    def held(self) -> dict[UUID, int] | None:
        """Id and fence of every job this process holds; None while a claim is under way."""
        if self._claims:
            return None
        return self._offers.held() | self.calls.held()

    # Waking.

    def heard(self, hints: Hints) -> None:
        """A commit of this process; called from the writer's thread."""
        if hints.queued or hints.cancels:
            self.wake(cancels=hints.cancels)

    def wake(self, *, claim: bool = True, cancels: bool = False) -> None:
        """There may be something to claim or to cancel; from any thread."""
        with suppress(RuntimeError):  # the loop is closed: nothing is claimed there any more
            self._loop.call_soon_threadsafe(self._wake, claim, cancels)

    def _wake(self, claim: bool, cancels: bool) -> None:
        self._wanted = self._wanted or claim
        self._cancels_wanted = self._cancels_wanted or cancels
        self._event.set()

    # The fast path: an insert that is its own claim.

    def offer(self, job: NewJob, definition: TaskDefinition, backend: str) -> Offer | None:
        """Keep a slot for a job that is about to be inserted, if it may start at once."""
        if self._alone or self._suspect_waits or self._stopping or self._way.is_made:
            return None
        declared = self._settings.queue(job.queue)
        limited = definition.options.max_running is not None or declared.max_running is not None
        if limited or declared.paused or (self._only_queues and job.queue not in self._only_queues):
            return None
        worker = self._worker_id()
        return None if worker is None else self._offers.make(job, definition, backend, worker)

    def _start_offered(self, offer: Offer) -> None:
        reach("claim")
        claimed = claimed_at_insert(offer.job, offer.backend)
        self._attempts.tell_enqueued(offer.job)
        if not self._has_stopped:
            self.calls.launch(claimed, offer.definition)
        elif self._store.is_open:  # its function was never called: nothing may be charged
            late = ReleaseJobs([(claimed.id, claimed.fence)], self._now(), called=False)
            # Should that fail, others rescue the job.
            self._store.write(late).add_done_callback(asyncio.Future.exception)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs on."""
        return self._loop

    # One job at a time, for whoever knows which.

    async def run_now(self, job_id: UUID, backend: str) -> None:
        """Claim this job if it may run, and wait until its attempt here is over."""
        call = self.calls.find(job_id)
        if call is None:
            await self.claim_one(partial(ClaimById, id=job_id, backend=backend))
            call = self.calls.find(job_id)  # another claim of this process may have been quicker
        if call is not None:
            await self.calls.over(call)

    async def claim_one(self, operation: Callable[..., ClaimOne]) -> Call | None:
        """Claim what `operation` says, made with our worker, rules and time, and launch it."""
        worker = None if self._stopping else self._worker_id()
        if worker is None:
            return None
        with self._claiming():
            claim = operation(worker=worker, rules=self._rules, now=self._now())
            claimed = await self._store.write(claim)
            if claimed is None or self._has_stopped:
                return None
            self._slots.take(claimed.backend)
            return self.calls.launch(claimed, registry[claimed.task])

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        self._claims += 1
        try:
            yield
        finally:
            self._claims -= 1
            if not self._claims:
                self._settled.set()

    def is_limited(self, lane: Lane) -> bool:
        """Whether settings limit how many of a lane may run at once."""
        of_queue = self._rules.queue_limits(lane.queue)
        return of_queue.max_running is not None or self._rules.task_limit(lane.task) is not None

    # What the calls tell.

    def _on_vacated(self, backend: str) -> None:
        if (self._wanted or backend in self._hungry) and not self._backends[backend].by_message:
            self._wanted = True
            self._event.set()

    def _on_emptied(self) -> None:
        if self._alone or self._way.is_made:
            # Now it is idle: the next claim is a suspect's, if one waits.
            self._alone, self._suspect_waits, self._wanted = False, True, True
            self._way.end()
            self._event.set()

    # The loop.

    def start(self) -> None:
        """Begin to claim."""
        self._main = self._loop.create_task(self._work())

    async def _work(self) -> None:
        while not self._stopping:
            try:
                wait = await self._step()
            except StoreUnavailable as error:
                logger.debug("nothing can be claimed now: %s", error)
                wait = self._settings.poll_seconds
            except Exception:
                logger.exception("claiming failed; trying again")
                wait = self._settings.poll_seconds
            if not self._event.is_set() and wait > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._event.wait()
            self._event.clear()

    async def _step(self) -> float:
        """Claim what can be claimed; returns how many seconds to sleep unless woken."""
        poll = self._settings.poll_seconds
        if self._cancels_wanted:
            self._cancels_wanted = False
            await self._deliver_cancels()
        for call in self.calls:
            if isinstance(call.sink, Reports):
                call.sink.flush()
        if self._alone or self._worker_id() is None or not self._slots.free():
            return poll
        if not self._wanted:
            peek = await self._store.read(queries.peek)
            if not peek.queued and (peek.next_due is None or peek.next_due > self._now()):
                return self._until(peek.next_due)
        self._wanted = False
        return self._until(await self._claim())

    def _until(self, moment: datetime | None) -> float:
        poll = self._settings.poll_seconds
        if moment is None:
            return poll
        seconds = (moment - self._now()).total_seconds()
        self._wanted = self._wanted or seconds <= poll
        # One that is past and was not taken is somebody else's at the moment: no haste.
        return min(seconds, poll) if seconds > 0 else HELD_UP_SECONDS

    async def _claim(self) -> datetime | None:
        """Claim for the free slots and launch; returns when the next job is due."""
        worker = self._worker_id()
        if worker is None or (self.calls and await self._way.is_wanted()):
            return None
        idle = not self.calls and not self._offers
        # Beside a suspect nothing else may start: while one is claimed, no insert is a claim.
        self._alone = alone = idle and self._suspect_waits
        operation = ClaimJobs(worker, self._rules, self._slots, self._now(), idle=alone, looks=idle)
        claimed: list[Claimed] = []
        with self._claiming():
            try:
                claimed = await self._store.write(operation)
                reach("claim")
            finally:
                self._slots.give_back(
                    Counter(operation.spent) - Counter(job.backend for job in claimed)
                )
                self._alone = alone and any(job.suspect for job in claimed)
                for job in claimed:
                    self.calls.launch(job, registry[job.task])
        self._suspect_waits = operation.suspect_waits and not alone
        if self._suspect_waits:
            self._wake(claim=True, cancels=False)
        # Jobs wait for a slot or behind a full limit: what ends here makes room for them.
        self._hungry = operation.limited
        return operation.next_due

    # Cancelling.

    async def _deliver_cancels(self) -> None:
        worker = self._worker_id()
        if worker is None or not self.calls:
            return
        for job_id, fence in await self._store.read(queries.cancel_requests, worker):
            call = self.calls.find(job_id)
            if call is not None and call.claimed.fence == fence and not call.cancel_requested:
                self._backends[call.claimed.backend].cancel(call)

    def abandon(self) -> None:
        """Others think this worker dead: stop what can be stopped; nothing of it is recorded."""
        self.calls.release()

    # Stopping.

    async def stop(self, at_once: asyncio.Event | None = None) -> int:
        """Claim no more, let what runs end within `shutdown_seconds`, then give the rest back.

        Setting `at_once` ends that time. What cannot be stopped is released as the last act: its
        function may still run here. Returns how many those are.
        """
        self._stopping = True
        self._event.set()
        if self._main is not None:
            # A claim under way waits as long as the database is away: not for ever here.
            await asyncio.wait({self._main}, timeout=GIVE_BACK_SECONDS)
            self._main.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settle(), GIVE_BACK_SECONDS)
        await self.calls.drain(at_once or asyncio.Event(), self._settings.shutdown_seconds)
        self.calls.release()
        await self.calls.settle(ENDING_SECONDS)
        self._has_stopped = True
        left = self.calls.held()
        if left:
            logger.warning("%d jobs cannot be stopped here; they are given back", len(left))
            await self._give_back(left)
        self.calls.forget()
        return len(left)

    async def _settle(self) -> None:
        """Wait until no claim is under way, nor an insert that may be one."""
        while self._claims:
            self._settled.clear()
            await self._settled.wait()
        await self._offers.settle()

    async def _give_back(self, left: Mapping[UUID, int]) -> None:
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._store.write(ReleaseJobs(list(left.items()), self._now()))
        except (StoreUnavailable, TimeoutError) as error:
            logger.error("they could not be given back, others will rescue them: %r", error)
