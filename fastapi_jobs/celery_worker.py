"""Our jobs inside Celery's workers: claim by id, run, finish; Celery only carries the ids.

Each process that runs jobs is a worker of its own (law 5): a child of prefork, or the one process
of the pools threads and solo. Its event loop lives in a thread, made after the fork.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.exceptions import Reject

from fastapi_jobs.backends.celery import CeleryBackend, PreforkBackend
from fastapi_jobs.backends.celery_broker import ALONE, make_celery
from fastapi_jobs.backends.celery_queues import known_queues, queue_name
from fastapi_jobs.by_message import run_named
from fastapi_jobs.celery_control import Revoking
from fastapi_jobs.checks.tasks import load_task_modules
from fastapi_jobs.conf import Settings
from fastapi_jobs.current import choose
from fastapi_jobs.errors import FastAPIJobsError
from fastapi_jobs.making_way import DRAIN_SECONDS, REST_SECONDS
from fastapi_jobs.registry import registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store.publishing import Unpublish
from fastapi_jobs.store.store import store_of
from fastapi_jobs.store.workers import may_claim

logger = logging.getLogger("fastapi_jobs.celery")

START_SECONDS = 60.0
QUIET_SECONDS = 1.0
"""How long the slot of a worker that may not claim takes no other message after one."""

DEATH_SECONDS = 5.0
"""How long a process that must end tries to sign off and to tell its observers."""


class Host:
    """One process of a Celery worker: an event loop in a thread, and all that runs on it."""

    def __init__(
        self, settings: Settings, backend: CeleryBackend, queues: Collection[str] = ()
    ) -> None:
        self._runtime = Runtime(settings, dispatch=True)
        self._backend = backend
        self._queues = queues
        self._batch_seconds = settings.celery.batch_seconds
        self._loop = asyncio.new_event_loop()
        self._at_once = asyncio.Event()
        self._turns = _Turns()
        self._stopped: Future[int] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._serve, name="fastapi-jobs-celery-loop", daemon=True
        )

    def start(self) -> None:
        """Register as a worker and be ready for `run`.

        Raises:
            NotMigrated, StoreUnavailable: it cannot work.
        """
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(START_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        choose(self._runtime)
        self._loop.run_forever()

    async def _start(self) -> None:
        # Jobs see the context of the dispatcher's start: this app is the current one in them.
        choose(self._runtime)
        await self._runtime.start(consumer=self._backend, only_queues=self._queues)

    def run(self, job_id: UUID, *, alone: bool) -> None:
        """Run a job if it is to be claimed; from one of the pool's threads.

        Raises:
            Reject: this process is about to end; the message goes to another.
        """
        if self._stopped is not None:
            raise Reject("this worker stops", requeue=True)
        did = asyncio.run_coroutine_threadsafe(self._run(job_id, alone), self._loop).result()
        if self._backend.is_doomed:
            self._die()
        if not did and self._stopped is not None:
            raise Reject("this worker stops", requeue=True)

    async def _run(self, job_id: UUID, alone: bool) -> bool:
        dispatcher, relay = self._runtime.dispatcher, self._runtime.relay
        if dispatcher is None:
            return False
        did, seconds = False, 0.0 if alone else self._batch_seconds
        async with self._turns.take(alone) as is_mine:
            if is_mine:
                name = self._backend.name
                did = await run_named(dispatcher, job_id, name, seconds, self._may_go_on)
        if relay is not None:
            relay.claimed(self._backend.slots)
        if not did:
            await self._rest_if_refused(job_id)
        return did

    async def _rest_if_refused(self, job_id: UUID) -> None:
        """A quieted worker still gets messages, as does one that is thought dead. The job goes
        back; others are told anew of it, and this slot rests, so that they get it.
        """
        store, worker, relay = self._runtime.store, self._runtime.worker, self._runtime.relay
        if worker is None:
            return  # it stops: the message is rejected
        if worker.id is None:
            await store.write(Unpublish([job_id]))  # it could not even try to claim
        elif await store.read(may_claim, worker.id):
            return
        if relay is not None:
            relay.wake()
        await asyncio.sleep(QUIET_SECONDS)

    def _may_go_on(self) -> bool:
        """Whether a slot may run more than its message named."""
        return not (self._stopped or self._backend.is_doomed or self._turns.is_wanted)

    def watch(self, parent: int) -> None:
        """Stop when the other end of this pipe is closed: the parent stops, or is gone."""
        self._loop.call_soon_threadsafe(self._loop.add_reader, parent, self._on_closed, parent)

    def _on_closed(self, parent: int) -> None:
        self._loop.remove_reader(parent)
        threading.Thread(target=self.stop, name="fastapi-jobs-celery-stop", daemon=True).start()

    def hurry(self) -> None:
        """Stop now, without waiting for what runs; safe in a signal's handler."""
        self._loop.call_soon_threadsafe(self._at_once.set)
        threading.Thread(target=self._stop_and_exit, daemon=True).start()

    def _stop_and_exit(self) -> None:
        self.stop()
        _exit()

    def stop(self) -> None:
        """Let what runs end within `shutdown_seconds`, give the rest back, sign off; repeated, it
        waits for the first. Where a function still runs that cannot be stopped, the process ends.
        """
        with self._lock:
            if self._stopped is None:
                self._stopped = asyncio.run_coroutine_threadsafe(
                    self._runtime.stop(self._at_once), self._loop
                )
        left = self._stopped.result()
        if left or self._backend.is_doomed:
            _exit()

    def _die(self) -> None:
        """The function of a job that is over still runs here: sign off, and end the process."""
        until = time.monotonic() + DEATH_SECONDS
        worker = self._runtime.worker
        signing_off = threading.Thread(target=worker.stop if worker else None, daemon=True)
        signing_off.start()
        self._runtime.observers.close(DEATH_SECONDS / 2)
        signing_off.join(max(0.0, until - time.monotonic()))
        _exit()


class _Turns:
    """Jobs run side by side, a suspect alone (law 6): it waits for the others, they for it.

    Not for ever, for one of them may be long: it gives up after `drain` seconds, and from then on
    takes only a turn that is free, for `rest` seconds. Nobody has claimed it, so it is published
    again.
    """

    def __init__(self, drain: float = DRAIN_SECONDS, rest: float = REST_SECONDS) -> None:
        self._drain, self._rest = drain, rest
        self._rests_until = 0.0
        self._changed = asyncio.Condition()
        self._running = 0
        self._wanted = 0
        self._is_alone = False

    @property
    def is_wanted(self) -> bool:
        """Whether a suspect waits for the others to end."""
        return self._wanted > 0

    @contextlib.asynccontextmanager
    async def take(self, alone: bool) -> AsyncIterator[bool]:
        """A turn; False for a suspect that gave up."""
        async with self._changed:
            if not alone:
                await self._changed.wait_for(lambda: not self._is_alone and not self._wanted)
            elif self._running and not await self._emptied():
                yield False
                return
            self._is_alone = alone
            self._running += 1
        try:
            yield True
        finally:
            async with self._changed:
                self._running -= 1
                self._is_alone = False
                self._changed.notify_all()

    async def _emptied(self) -> bool:
        """Wait until nothing runs here, while others wait for that; False: it took too long."""
        if time.monotonic() < self._rests_until:
            return False
        self._wanted += 1
        try:
            async with asyncio.timeout(self._drain):
                await self._changed.wait_for(lambda: not self._running)
        except TimeoutError:
            self._rests_until = time.monotonic() + self._rest
            return False
        finally:
            self._wanted -= 1
            self._changed.notify_all()
        return True


def _exit() -> None:
    # Whatever runs here was given up or given back; a normal exit would wait for it (law 7).
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class Hosting:
    """The hosts of one Celery worker: when its processes start and stop, and what they are told."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._host: Host | None = None
        self._lock = threading.Lock()
        self._pipe: tuple[int, int] | None = None
        """Closed by the parent when it stops: its children see that, however it stops."""

    def connect(self) -> None:
        """Hear Celery's signals."""
        for when, do in (
            (signals.worker_init, self._on_init),
            (signals.worker_ready, self._on_ready),
            (signals.worker_process_init, self._on_child),
            (signals.worker_process_shutdown, self._on_child_end),
            (signals.worker_shutting_down, self._on_stopping),
            (signals.worker_shutdown, self._on_stopped),
        ):
            when.connect(do, weak=False)

    def host(self) -> Host:
        """The host of this process, started."""
        with self._lock:
            if self._host is None:
                backend = CeleryBackend(self._app.conf.worker_concurrency or 1)
                self._start(Host(self._settings, backend, self._served()))
            assert self._host is not None
            return self._host

    def _served(self) -> list[str]:
        """Our queues that this worker consumes, by whichever option; empty: all of them."""
        consumed = self._app.amqp.queues.consume_from
        known = sorted(known_queues(self._settings))
        served = [name for name in known if queue_name(self._settings, name) in consumed]
        return [] if served == known else served

    def _start(self, host: Host) -> None:
        host.start()
        self._host = host

    def _on_init(self, sender: Any = None, **_: Any) -> None:
        """In the process that consumes, before it has children or threads."""
        try:
            check_store(self._settings)
        except FastAPIJobsError as error:
            raise SystemExit(str(error)) from None  # Celery would log any other, and go on
        if sender is not None and not _is_prefork(sender):
            self._app.conf.worker_concurrency = getattr(sender, "concurrency", None) or 1
        else:
            self._pipe = os.pipe()

    def _on_ready(self, **_: Any) -> None:
        """A worker without children shows itself before its first message comes."""
        if self._pipe is None:
            self.host()

    def _on_child(self, **_: Any) -> None:
        if self._pipe is None:
            return  # the pool solo says this too
        read, write = self._pipe
        os.close(write)
        self._host = None
        host = Host(self._settings, PreforkBackend(), self._served())
        try:
            self._start(host)
        except Exception as error:
            logger.error("this process cannot run jobs, another takes its place: %s", error)
            raise SystemExit(1) from None
        host.watch(read)
        signal.signal(signal.SIGTERM, lambda *_: host.hurry())

    def _on_child_end(self, **_: Any) -> None:
        if self._host is not None:
            self._host.stop()

    def _on_stopping(self, **_: Any) -> None:
        """In a signal's handler: nothing here may wait."""
        if self._pipe is not None:
            os.close(self._pipe[1])
            self._pipe = None
        elif self._host is not None:
            threading.Thread(target=self._host.stop, daemon=True).start()

    def _on_stopped(self, **_: Any) -> None:
        if self._host is not None:
            self._host.stop()


def check_store(settings: Settings) -> None:
    """Look whether the database can be used, and make its tables where that is wanted.

    Raises:
        NotMigrated, StoreUnavailable: it cannot.
    """
    store = store_of(settings)
    try:
        store.open()
    finally:
        store.close()


def _is_prefork(worker: Any) -> bool:
    return "prefork" in str(getattr(worker, "pool_cls", "")).lower()


def worker_app(settings: Settings) -> Celery:
    """The Celery app of a worker: one Celery task for each of ours, by its own name.

    Raises:
        TaskModuleError: a module of `task_modules` cannot be imported.
    """
    load_task_modules(settings)
    app = make_celery(settings)
    hosting = Hosting(app, settings)

    def run(request_task: Any, **message: Any) -> None:
        hosting.host().run(UUID(request_task.request.id), alone=bool(message.get(ALONE)))

    for name in registry:
        app.task(run, name=name, bind=True, typing=False, shared=False)
    hosting.connect()
    Revoking(settings).take_over()
    app.set_default()
    return app
