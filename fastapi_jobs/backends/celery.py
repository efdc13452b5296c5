"""The `celery` backend inside a worker: jobs that arrive by message and run in its pool."""

import asyncio

from fastapi_jobs.backends.event_loop import AsyncioBackend
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.backends.threads import CallThreads
from fastapi_jobs.conf import Settings
from fastapi_jobs.runner import Call, Report, timed_out_report
from fastapi_jobs.status import AttemptOutcome


class CeleryBackend(AsyncioBackend):
    """`async def` tasks run on the worker's event loop, `def` tasks in threads beside it."""

    name = CELERY
    by_message = True
    needs_import = True
    cure = 'the pool "prefork"'
    is_doomed = False
    """True once a function was given up that still runs here: the process must end."""


class PreforkBackend(CeleryBackend):
    """One job at a time in a process that may die of it: a `def` task is stopped by writing its
    end and ending the process, and with it the function.
    """

    stops_sync = True

    def __init__(self, slots: int = 1) -> None:
        super().__init__(slots)
        self._running: dict[Call, asyncio.Future[Report]] = {}
        self._calls: CallThreads | None = None

    async def submit(self, call: Call) -> Report:
        """Run it here."""
        if call.definition.is_async:
            return await super().submit(call)
        if self._calls is None:
            self._calls = CallThreads(self.slots, "celery-def")
        if call.cancel_requested or call.released:
            return Report(_ending(call))
        over = self._running[call] = self._calls.start(call)
        timer = None
        if call.timeout is not None:
            report = timed_out_report(call)
            timer = over.get_loop().call_later(call.timeout, self._give_up, call, report)
        try:
            return await over
        finally:
            del self._running[call]
            if timer is not None:
                timer.cancel()

    def cancel(self, call: Call) -> None:
        """End an `async def` task where it awaits, a `def` task with its process."""
        super().cancel(call)
        self._give_up(call, Report(_ending(call)))

    def release(self, call: Call) -> None:
        """The same, uncharged."""
        super().release(call)
        self._give_up(call, Report(_ending(call)))

    def _give_up(self, call: Call, report: Report) -> None:
        over = self._running.get(call)
        if over is not None and not over.done():
            self.is_doomed = True
            over.set_result(report)

    async def stop(self) -> None:
        """Leave the threads alone."""
        await super().stop()
        if self._calls is not None:
            self._calls.stop()


def _ending(call: Call) -> AttemptOutcome:
    return AttemptOutcome.CANCELLED if call.cancel_requested else AttemptOutcome.RELEASED


def celery_backend(settings: Settings, queue: str) -> CeleryBackend:
    """The backend of the Celery workers that serve a queue."""
    pool = settings.queue(queue).pool or settings.celery.pool
    return PreforkBackend() if pool == "prefork" else CeleryBackend(settings.celery.concurrency)
