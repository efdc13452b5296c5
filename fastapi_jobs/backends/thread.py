"""The `thread` backend: blocking code beside the event loop."""

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.threads import CallThreads
from fastapi_jobs.runner import Call, Report


class ThreadBackend(Backend):
    """Every job in a thread of its own pool."""

    name = "thread"

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._threads = CallThreads(slots, "thread")

    async def submit(self, call: Call) -> Report:
        """Run the call in a thread."""
        return await self._threads.run(call)

    def cancel(self, call: Call) -> None:
        """Cancel an `async def` task on its thread's loop; a `def` task is told."""
        call.cancel_requested = True
        if call.definition.is_async:
            call.interrupt()

    def release(self, call: Call) -> None:
        """End an `async def` task where it awaits."""
        call.released = True
        if call.definition.is_async:
            call.interrupt()

    async def stop(self) -> None:
        """Leave the threads alone."""
        self._threads.stop()
