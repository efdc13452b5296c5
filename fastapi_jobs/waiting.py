"""Waiting for jobs to finish, with one look at the database for all who wait."""

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from uuid import UUID

from fastapi_jobs.context import in_attempt
from fastapi_jobs.errors import FastAPIJobsError
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.transaction import Hints

FIRST_SECONDS = 0.008
"""When the first of all who wait looks first: a job of this process is heard of by then."""

NEXT_SECONDS = 0.003
QUICK_SECONDS = 0.02
SLOW_SECONDS = 0.25
QUICK_FOR = 2.0
"""The youngest waiter decides: for QUICK_FOR seconds after it came, looks are quick. Those of the
first waiter begin NEXT_SECONDS apart, later an eighth of the time so far, for a short job ends
early; whoever joins others waits for their looks, however many come.
"""


def pause(waited: float, youngest: float) -> float:
    """Seconds until the next look, after so many since the first of them came, and the youngest."""
    if youngest >= QUICK_FOR:
        return SLOW_SECONDS
    return min(max(FIRST_SECONDS - waited, waited / 8, NEXT_SECONDS), QUICK_SECONDS)


class Waiters:
    """Those who wait on one event loop. A finish in this process wakes at once, a look the rest."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._youngest = 0.0
        self._task: asyncio.Task[None] | None = None
        self._unlisten: Callable[[], None] = store.listen(self._heard)

    async def until(self, job_id: UUID, done: asyncio.Event, timeout: float | None) -> bool:
        """Wait until `done` is set because the job ended (or changed); False after `timeout` s."""
        events = self._waiting.setdefault(job_id, set())
        events.add(done)
        self._youngest = time.monotonic()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._look())
        try:
            async with asyncio.timeout(timeout):
                await done.wait()
        except TimeoutError:
            return False
        finally:
            events.discard(done)
            if not events:
                self._waiting.pop(job_id, None)
        return True

    def _heard(self, hints: Hints) -> None:
        if self._waiting and hints.finished:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, hints.finished)

    def _wake(self, job_ids: Collection[UUID]) -> None:
        for job_id in job_ids:
            for event in self._waiting.get(job_id, ()):
                event.set()

    def let_go(self) -> None:
        """Wake all who wait, to think again; from any thread, or a signal's handler."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._wake(list(self._waiting)))

    async def _look(self) -> None:
        began = time.monotonic()
        while self._waiting:
            now = time.monotonic()
            await asyncio.sleep(pause(now - began, now - self._youngest))
            ids = list(self._waiting)
            if not ids:
                return
            try:
                found = await self._store.read(queries.get_status, ids)
            except FastAPIJobsError:
                continue
            self._wake([each for each in ids if found.get(each, JobStatus.FAILED).is_final])
            await asyncio.sleep(0)  # they go: whoever comes when nobody is left is the first again

    def forget(self) -> None:
        """The loop is closed: hear nothing more."""
        self._unlisten()

    def close(self) -> None:
        """Stop looking."""
        self._unlisten()
        if self._task is not None:
            self._task.cancel()


class Waiting:
    """Those who wait on any event loop of this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[asyncio.AbstractEventLoop, Waiters] = {}
        self._is_leaving = False

    def let_go(self) -> None:
        """This process was asked to stop: whoever waits would hold that up."""
        self._is_leaving = True
        for each in list(self._waiters.values()):
            each.let_go()

    @property
    def is_allowed(self) -> bool:
        """Whether the caller may wait: jobs may, even in a process that was asked to stop."""
        return not self._is_leaving or in_attempt()

    async def until_finished(self, job_id: UUID, timeout: float | None) -> bool:
        """Wait until the job seems finished; False after `timeout` seconds, and where the caller
        may not wait. True also when it should think again.
        """
        if not self.is_allowed:
            return False
        loop = asyncio.get_running_loop()
        waiters = self._waiters.get(loop)
        if waiters is None:
            for other in [each for each in self._waiters if each.is_closed()]:
                self._waiters.pop(other).forget()
            waiters = self._waiters[loop] = Waiters(self._store)
        done = asyncio.Event()
        waiting = asyncio.ensure_future(waiters.until(job_id, done, timeout))
        await asyncio.sleep(0)  # it is registered: whatever ends from now on is heard
        try:
            status = await self.status_of(job_id)
            if status is None or status.is_final or not self.is_allowed:
                done.set()
            return await waiting
        finally:
            waiting.cancel()

    async def status_of(self, job_id: UUID) -> JobStatus | None:
        """The job's status, or None when there is no such job."""
        found = await self._store.read(queries.get_status, [job_id])
        return found.get(job_id)

    def close(self) -> None:
        """Stop looking; whoever comes after that may wait again."""
        for each in self._waiters.values():
            each.close()
        self._waiters.clear()
        self._is_leaving = False
