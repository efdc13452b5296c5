"""Settings, store, dispatcher and worker of one FastAPIJobs: what starts, and what stops."""

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID

from fastapi_jobs.attempts import Attempts, enqueued
from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.event_loop import ImmediateBackend
from fastapi_jobs.backends.make import backends_of, make_backends
from fastapi_jobs.by_hand import ByHand
from fastapi_jobs.capture import capture_logs
from fastapi_jobs.checks import warn_of_shortcomings
from fastapi_jobs.checks.tasks import load_task_modules
from fastapi_jobs.claiming import effective_backend
from fastapi_jobs.conf import Settings
from fastapi_jobs.dispatcher import Dispatcher
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.heap import freeze_heap, raise_threshold
from fastapi_jobs.hearing import Ear, hear_others
from fastapi_jobs.lifecycle_log import lifecycle_log, load_observers
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.relay import Relay, relay_of
from fastapi_jobs.signals import Observers
from fastapi_jobs.stop_signals import StopSignals
from fastapi_jobs.store.hint import HintQueued
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.rows import IdempotencyWish, Inserted, NewJob
from fastapi_jobs.store.store import store_of
from fastapi_jobs.store.unique import InsertUnique
from fastapi_jobs.waiting import Waiting
from fastapi_jobs.worker import Worker

logger = logging.getLogger("fastapi_jobs")


class Runtime:
    """One FastAPIJobs at work. It opens by itself when first used, without running anything."""

    def __init__(self, settings: Settings, *, dispatch: bool | None = None) -> None:
        self.settings = settings
        self.dispatches = settings.dispatch if dispatch is None else dispatch
        self.only_backend = ""
        """Where every job runs, whatever its task, its queue and itself say; for tests."""
        self.name = settings.name or settings.database_url.rpartition("/")[2] or "jobs"
        self.store = store_of(settings)
        self.observers = Observers()
        self.dispatcher: Dispatcher | None = None
        self.worker: Worker | None = None
        self.relay: Relay | None = None
        """Tells the broker of due jobs, where the settings name one."""
        self.is_closed = False
        self.has_opened = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the started app, until it is stopped."""
        self.waiting = Waiting(self.store)
        self._signals: StopSignals | None = None
        self._backends: dict[str, Backend] = {}
        self._ear: Ear | None = None
        self._undo: list[Callable[[], None]] = []
        self._said_nobody_dispatches = False
        self._lock = threading.Lock()
        self._observing = False

    # Starting and stopping.

    def open(self) -> None:
        """Open the store and the observers; runs nothing.

        Raises:
            NotMigrated, StoreUnavailable: the database cannot be used.
        """
        self.is_closed, self.has_opened = False, True
        self.store.open()
        with self._lock:
            if not self._observing:
                self._observing = True
                self._observe()

    def _observe(self) -> None:
        for observer in load_observers(self.settings):
            self.observers.add(observer)
        if self.settings.log_lifecycle:
            observer, close = lifecycle_log(self.settings)
            self.observers.add(observer)
            self._undo.append(close)

    def load_tasks(self) -> None:
        """Import the task modules of the settings, so that their tasks are known."""
        load_task_modules(self.settings)

    async def start(
        self,
        *,
        only_queues: Collection[str] = (),
        only_backends: Collection[str] = (),
        consumer: Backend | None = None,
    ) -> None:
        """Open, load the task modules and, if this process dispatches, begin to run jobs.

        `consumer` is the one backend of a process that gets its jobs from a broker.

        Raises:
            NotMigrated, StoreUnavailable, SettingsError: nothing is left running.
        """
        self.loop = asyncio.get_running_loop()
        try:
            await self.loop.run_in_executor(None, self.open)
            if self._signals is None:
                self._signals = StopSignals(self.waiting.let_go)
            self.load_tasks()
            if self.settings.freeze_heap:
                freeze_heap()
            raise_threshold(self.settings.gc_threshold)
            if self.dispatches and self.dispatcher is None:
                self._backends = self._make_backends(only_backends, consumer)
                await self._start_dispatching(frozenset(only_queues))
        except BaseException:
            await self.stop()
            raise

    def _make_backends(
        self, only_backends: Collection[str], consumer: Backend | None
    ) -> dict[str, Backend]:
        if consumer is not None:
            return {consumer.name: consumer}
        declared = [each.options.backend for each in registry.values()]
        return make_backends(
            self.settings, list(only_backends) or backends_of(self.settings, declared)
        )

    async def _start_dispatching(self, only_queues: frozenset[str]) -> None:
        warn_of_shortcomings(self.settings, self._backends)
        capture_logs()
        for backend in self._backends.values():
            await backend.start()
        dispatcher, worker = self._dispatching(only_queues)
        await asyncio.get_running_loop().run_in_executor(None, worker.start)
        self.dispatcher = dispatcher
        self._undo.append(self.store.listen(dispatcher.heard))
        dispatcher.start()
        self.relay = relay_of(self.store, self.settings)
        if self.relay is not None:
            self._undo.append(self.store.listen(self.relay.heard))
            self.relay.start()
        self._ear = hear_others(self.store, dispatcher, self.relay)

    def _dispatching(self, only_queues: frozenset[str]) -> tuple[Dispatcher, Worker]:
        attempts = Attempts(
            self.store, self.settings, self.observers, lambda: worker.lease_is_fresh
        )
        dispatcher = Dispatcher(
            self.store,
            self.settings,
            self._backends,
            attempts,
            worker_id=lambda: worker.id,
            only_queues=only_queues,
        )
        loop = asyncio.get_running_loop()

        def lost() -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(dispatcher.abandon)

        isolated = {name for name, each in self._backends.items() if not each.shares_process}
        self.worker = worker = Worker(
            self.store,
            self.settings,
            slots={name: each.slots for name, each in self._backends.items()},
            isolated=frozenset(isolated),
            held=dispatcher.held,
            on_lost=lost,
            on_work=lambda: dispatcher.wake(cancels=True),
            queues=sorted(only_queues),
        )
        return dispatcher, worker

    @property
    def broker_trouble(self) -> str | None:
        """Why the broker cannot be told of jobs now, or None."""
        return None if self.relay is None else self.relay.trouble

    @property
    def redis_trouble(self) -> str | None:
        """Why other processes cannot be told of commits by Redis now, or None."""
        return None if self.store.redis is None else self.store.redis.trouble

    @property
    def backends(self) -> Mapping[str, Backend]:
        """The backends that run here, by name; none before the start and after the stop."""
        return self._backends

    async def stop(self, at_once: asyncio.Event | None = None) -> int:
        """Drain, give back what is left, leave, close. Safe to repeat.

        Setting `at_once` ends the draining early. Returns how many functions still run in threads
        although their jobs were given back: unless it is 0, the process should exit now.
        """
        loop = asyncio.get_running_loop()
        signals, self._signals = self._signals, None
        if signals is not None:
            signals.close()
        dispatcher, self.dispatcher = self.dispatcher, None
        left = 0
        relay, self.relay = self.relay, None
        if relay is not None:
            await relay.stop()
        if dispatcher is not None:
            left = await dispatcher.stop(at_once)
        for backend in self._backends.values():
            await backend.stop()
        self._backends = {}
        ear, self._ear = self._ear, None
        worker, self.worker = self.worker, None
        self.waiting.close()
        if ear is not None:
            await loop.run_in_executor(None, ear.close)
        if worker is not None:
            try:
                await loop.run_in_executor(None, worker.stop)
            except StoreUnavailable as error:
                logger.error("this worker could not sign off; others will see it die: %s", error)
        await loop.run_in_executor(None, self.close)
        self.loop = None
        return left

    def close(self) -> None:
        """Close the store and the observers; for what was opened without `start`."""
        self.store.close()
        self.observers.close()
        while self._undo:
            self._undo.pop()()
        self._observing = False
        self.observers = Observers()
        self.is_closed = True

    @contextmanager
    def replaced(self, settings: Settings) -> Iterator[None]:
        """For tests: until the block ends, work by other settings on another store, and run
        nothing. Whoever holds this runtime (routers, middleware) does not notice.
        """
        fresh = Runtime(settings, dispatch=False)
        fresh.name = self.name
        kept = vars(self).copy()
        vars(self).update(vars(fresh))
        try:
            yield
        finally:
            self.close()
            vars(self).update(kept)

    # Enqueuing.

    async def insert(
        self,
        job: NewJob,
        definition: TaskDefinition,
        backend: str,
        idempotency: IdempotencyWish | None = None,
    ) -> Inserted:
        """Store one job, and start it at once where a slot is free and nothing waits ahead.

        Raises:
            EnqueueError, StoreUnavailable: nothing was stored.
        """
        if not self.store.is_open:
            await asyncio.get_running_loop().run_in_executor(None, self.open)
        if job.unique is not None or idempotency is not None:
            return (await self.store.write(self._unique([job], idempotency)))[0]
        dispatcher = self.dispatcher
        if dispatcher is None:
            self._say_nobody_dispatches()
        elif job.run_after is None and backend != ImmediateBackend.name:
            loop = asyncio.get_running_loop()
            if loop is dispatcher.loop:
                offer = dispatcher.offer(job, definition, backend)
                if offer is not None:
                    answer: asyncio.Future[list[Inserted]] = loop.create_future()
                    only = InsertJobs((job,), offer.worker, backend)
                    self.store.write_for(offer, only, loop, answer)
                    return (await answer)[0]
        return (await self.store.write(self._plain([job])))[0]

    async def insert_many(self, jobs: Sequence[NewJob]) -> list[Inserted]:
        """Store jobs in one transaction, all or none.

        Raises:
            EnqueueError, StoreUnavailable: nothing was stored.
        """
        if not self.store.is_open:
            await asyncio.get_running_loop().run_in_executor(None, self.open)
        if self.dispatcher is None:
            self._say_nobody_dispatches()
        return await self.store.write(self.insertion_of(jobs))

    def insert_sync(
        self, jobs: Sequence[NewJob], idempotency: IdempotencyWish | None = None
    ) -> list[Inserted]:
        """The same, blocking."""
        if not self.store.is_open:
            self.open()
        if self.dispatcher is None:
            self._say_nobody_dispatches()
        if idempotency is not None:
            return self.store.write_sync(self._unique(jobs, idempotency))
        return self.store.write_sync(self.insertion_of(jobs))

    def hint_queued(self, jobs: Sequence[NewJob]) -> None:
        """A host's transaction that stored jobs is committed: wake whoever claims, here and
        elsewhere, and tell the observers of those that no savepoint took back.
        """

        def there(ids: Collection[UUID]) -> None:
            for job in jobs:
                if job.id in ids:
                    self.observers.tell(enqueued(job))

        self.store.send(HintQueued([job.id for job in jobs], there))

    def backend_of(self, definition: TaskDefinition, queue: str, override: str = "") -> str:
        """The backend that would run a job of this task, queue and `using(backend=)` now."""
        return self.only_backend or effective_backend(self.settings, definition, queue, override)

    def is_immediate(self, job: NewJob) -> bool:
        """Whether whoever stores this job runs it too, as soon as it is committed."""
        backend = self.backend_of(registry.find(job.task), job.queue, job.backend)
        return backend == ImmediateBackend.name and job.run_after is None

    async def run_now(self, job: NewJob) -> None:
        """Run a job that was just stored, here and now: the immediate backend."""
        dispatcher = self.dispatcher
        if dispatcher is not None:
            running = dispatcher.run_now(job.id, ImmediateBackend.name)
            # It may have claimed the job already: only on its loop that end can be waited for.
            there = asyncio.run_coroutine_threadsafe(running, dispatcher.loop)
            await asyncio.wrap_future(there)
            return
        async with ByHand(self.store, self.settings, self.observers) as hand:
            await hand.run(job.id)

    def insertion_of(self, jobs: Sequence[NewJob]) -> InsertJobs | InsertUnique:
        """The write that stores these jobs, all or none."""
        keyed = any(job.unique is not None for job in jobs)
        return self._unique(jobs, None) if keyed else self._plain(jobs)

    def _plain(self, jobs: Sequence[NewJob]) -> InsertJobs:
        return InsertJobs(jobs)

    def _unique(self, jobs: Sequence[NewJob], wish: IdempotencyWish | None) -> InsertUnique:
        return InsertUnique(jobs, wish)

    def _say_nobody_dispatches(self) -> None:
        if not self._said_nobody_dispatches:
            self._said_nobody_dispatches = True
            logger.info(
                "%s stores jobs but runs none in this process; "
                "they wait for an app that was started, or for: fastapi-jobs worker",
                self.name,
            )
