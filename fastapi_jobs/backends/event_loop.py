"""The `asyncio` backend: jobs run on the host's own event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.threads import CallThreads
from fastapi_jobs.runner import Call, Report, call_async


class AsyncioBackend(Backend):
    """`async def` tasks run on the loop, `def` tasks in threads beside it."""

    name = "asyncio"

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._threads: CallThreads | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Remember the loop that all jobs run on."""
        self._loop = asyncio.get_running_loop()

    def submit(self, call: Call) -> Coroutine[Any, Any, Report]:
        """Await the task here; a `def` task never runs on the loop."""
        if call.definition.is_async:
            return call_async(call, self._loop)
        if self._threads is None:
            self._threads = CallThreads(self.slots, "asyncio-def")
        return self._threads.run(call)

    def cancel(self, call: Call) -> None:
        """Cancel the task where it awaits; a `def` task is told."""
        call.cancel_requested = True
        if call.definition.is_async:
            stop_here(call)

    def release(self, call: Call) -> None:
        """End an `async def` task where it awaits."""
        call.released = True
        if call.definition.is_async:
            stop_here(call)

    async def stop(self) -> None:
        """Leave the threads alone."""
        if self._threads is not None:
            self._threads.stop()


class ImmediateBackend(AsyncioBackend):
    """For tests: `enqueue` returns when the job has run, through the same steps as any other."""

    name = "immediate"


def stop_here(call: Call) -> None:
    """Cancel a call of this very loop, without the detour of another thread."""
    if call.in_call and call.task is not None and call.loop is asyncio.get_running_loop():
        call.task.cancel()
    else:
        call.interrupt()
