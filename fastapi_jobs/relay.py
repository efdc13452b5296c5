"""Tells the broker of due jobs: commit first, publish after, by id, within a window (law 8).

Any number of processes may do this at once. What one of them marked and could not publish, or what
the broker lost, is published again by whoever sees that nobody claimed it.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic_core import from_json

from fastapi_jobs.backends.broker import Broker, BrokerUnavailable
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.claiming import backend_of_lane, claim_rules
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.lanes import ClaimRules, Lane
from fastapi_jobs.store.publishing import (
    Message,
    PublishAgain,
    PublishJobs,
    Unpublish,
    Windows,
    held_by_broker,
)
from fastapi_jobs.store.transaction import Hints

logger = logging.getLogger("fastapi_jobs.relay")

AGAIN_LEASES = 2 / 3
"""A published job that nobody claimed for this part of `lease_seconds` is published again, if the
broker lost it."""

WORKERS_SECONDS = 2.0
"""How often it is looked who consumes: their slots make the window."""

REFILL_SECONDS = 0.02
"""How soon a process that consumes nothing fills the windows again while more is due."""

QUIET_SECONDS = 5.0
"""A broker that was told nothing for so long is asked at the next look whether it is there: with
nothing to publish nobody would notice that it is not."""

CONSUMED = 0.75

WINDOW_OF_A_SLOT = 4
SMALLEST_WINDOW = 32

_BACKOFF = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks at a broker that is away."""


class Relay:
    """The publishing side of one process. All methods run on its event loop, but for `heard`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        rules: ClaimRules,
        broker: Broker,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._settings, self._rules = store, settings, rules
        self._broker, self._now = broker, now
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._wanted = True
        self._windows = Windows(settings.celery.window or SMALLEST_WINDOW)
        self._slots = 0
        self._workers_seen_at = -math.inf
        self._looked_at = time.monotonic()
        self._claimed = self._own_slots = 0
        self._rest = REFILL_SECONDS
        self._failures = 0
        self._answered_at = -math.inf
        self._main: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        """Why nothing can be published now, or None."""

    def start(self) -> None:
        """Begin to publish."""
        self._main = self._loop.create_task(self._work())

    async def stop(self) -> None:
        """Publish no more and disconnect; what is marked and unpublished others publish later."""
        if self._main is not None:
            self._main.cancel()
            await asyncio.wait({self._main}, timeout=5)
        await self._broker.close()

    def heard(self, hints: Hints) -> None:
        """A commit of this process; called from the writer's thread."""
        if hints.queued:
            self.wake()

    def wake(self) -> None:
        """There may be something to publish; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: others publish
            self._loop.call_soon_threadsafe(self._wake)

    def look(self) -> None:
        """Another process stored jobs and tells no broker; from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    def _wake(self) -> None:
        self._wanted = True
        self._event.set()

    def claimed(self, own_slots: int) -> None:
        """This process claimed one: after its share of most of a window, that is filled up.

        A process that consumes nothing does that sooner, and keeps the work from the consumers.
        """
        self._claimed += 1
        self._own_slots = own_slots
        share = self._windows.size * own_slots / max(self._slots, own_slots)
        if self._claimed >= share * CONSUMED:
            self._wake()

    # The loop.

    async def _work(self) -> None:
        while True:
            try:
                wait = await self._step()
            except StoreUnavailable as error:
                logger.debug("nothing can be published now: %s", error)
                wait = self._settings.poll_seconds
            except BrokerUnavailable as error:
                wait = self._lost(error)
            except Exception:
                logger.exception("publishing failed; trying again")
                wait = self._settings.poll_seconds
            if not self._event.is_set() and wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._event.wait()
            self._event.clear()

    def _lost(self, error: BrokerUnavailable) -> float:
        if self.trouble is None:
            self.trouble = error.reason
            logger.warning("%s Jobs wait in the database until it does.", error)
        wait = _BACKOFF[min(self._failures, len(_BACKOFF) - 1)]
        self._failures += 1
        self._event.clear()  # no wake-up makes it answer sooner
        return wait

    async def _step(self) -> float:
        """Publish what the windows have room for; returns how many seconds to sleep."""
        await self._ask()
        await self._look_at_workers()
        await self._publish_again()
        if not self._wanted:
            peek = await self._store.read(queries.peek)
            if not peek.queued and (peek.next_due is None or peek.next_due > self._now()):
                return self._until(peek.next_due)
        self._wanted, self._claimed = False, 0
        operation = PublishJobs(self._rules, self._windows, self._now())
        messages = await self._store.write(operation)
        await self._hand_over(messages)
        if operation.is_crowded:
            self._wanted = True
            return REFILL_SECONDS
        if operation.left and not self._own_slots:
            self._wanted = True
            self._rest = REFILL_SECONDS if messages else self._rest * 2
            return min(self._rest, self._settings.poll_seconds)
        return self._until(operation.next_due)

    async def _ask(self) -> None:
        """Ask a broker that did not answer, or that nobody spoke to for a while."""
        if self.trouble is None and time.monotonic() - self._answered_at < QUIET_SECONDS:
            return
        await self._broker.ping()
        self._answered_at = time.monotonic()
        if self.trouble is not None:
            self._recovered()

    def _recovered(self) -> None:
        self.trouble, self._failures, self._wanted = None, 0, True
        # What it lost meanwhile is to be found at once.
        self._looked_at = -math.inf
        logger.warning("The broker %s answers again.", self._broker.name)

    def _until(self, moment: datetime | None) -> float:
        poll = self._settings.poll_seconds
        if moment is None:
            return poll
        seconds = (moment - self._now()).total_seconds()
        self._wanted = self._wanted or seconds <= poll
        return min(max(seconds, 0.05), poll)

    async def _hand_over(self, messages: list[Message]) -> None:
        if not messages:
            return
        try:
            await self._broker.publish(messages)
        except BrokerUnavailable:
            await self._store.write(Unpublish([each.id for each in messages]))
            raise
        self._answered_at = time.monotonic()

    async def _look_at_workers(self) -> None:
        now = time.monotonic()
        if now - self._workers_seen_at < WORKERS_SECONDS:
            return
        self._workers_seen_at = now
        consumers = _consumers(await self._store.read(queries.get_workers))
        awake = [each for each in consumers if not each.is_quiet]
        self._slots = sum(each.slots for each in awake)
        known = frozenset(task for each in awake for task in each.tasks)
        size = self._settings.celery.window or max(WINDOW_OF_A_SLOT * self._slots, SMALLEST_WINDOW)
        self._windows = Windows(size, known.__contains__ if consumers else lambda task: True)

    async def _publish_again(self) -> None:
        """Look for what the broker lost, and publish it once more."""
        now = time.monotonic()
        patience = self._settings.lease_seconds * AGAIN_LEASES
        if now - self._looked_at < patience / 2:
            return
        self._looked_at = now
        before = self._now() - timedelta(seconds=patience)
        held = [each for each in await self._store.read(held_by_broker) if each.oldest < before]
        if not held:
            return
        there = await self._broker.held([each.queue for each in held])
        lost = {
            each.queue: each.unclaimed - there[each.queue]
            for each in held
            if each.unclaimed > there[each.queue]
        }
        if lost:
            again = await self._store.write(PublishAgain(lost, before, self._now()))
            await self._hand_over(again)


class _Consumer(NamedTuple):
    slots: int
    tasks: list[str]
    is_quiet: bool


def _consumers(workers: Iterable[WorkerRecord]) -> list[_Consumer]:
    """Every worker that consumes from the broker."""
    found = []
    for worker in workers:
        slots = from_json(worker.slots).get(CELERY, 0)
        if slots:
            found.append(_Consumer(slots, from_json(worker.tasks), worker.quiet))
    return found


def relay_of(store: Store, settings: Settings) -> Relay | None:
    """The relay to the broker that the settings name, if they do."""
    if settings.celery.broker_url is None:
        return None
    # Celery is loaded where it is used, and nowhere else.
    from fastapi_jobs.backends.celery_broker import CeleryBroker

    def resolve(lane: Lane) -> str | None:
        name = backend_of_lane(settings, lane)
        return name if name == CELERY else None

    return Relay(store, settings, claim_rules(settings, resolve), CeleryBroker(settings))
