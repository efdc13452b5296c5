"""Threads that carry out calls; under the thread backend, and the event loop's `def` tasks."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

from fastapi_jobs.runner import Call, Report, call_async, call_sync

_local = threading.local()


class CallThreads:
    """Up to `size` threads. A running function cannot be stopped: it is marked, and ends by itself.

    An `async def` task runs on an event loop that its thread keeps, and can be cancelled.
    """

    def __init__(self, size: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"fastapi-jobs-{name}")
        self._loops: list[asyncio.AbstractEventLoop] = []

    async def run(self, call: Call) -> Report:
        """Run `call` in a thread and wait for it, whatever happens to the caller."""
        loop = asyncio.get_running_loop()
        function = self._run_async if call.definition.is_async else call_sync
        context = contextvars.copy_context()
        future = loop.run_in_executor(self._pool, context.run, function, call)
        timer = None
        if call.timeout is not None and not call.definition.is_async:
            timer = loop.call_later(call.timeout, call.mark_overdue)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    def stop(self) -> None:
        """Take no more calls; threads that still run are left to the end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for loop in self._loops:
            if not loop.is_running():
                loop.close()

    def _run_async(self, call: Call) -> Report:
        runner: asyncio.Runner | None = getattr(_local, "runner", None)
        if runner is None:
            runner = _local.runner = asyncio.Runner()
            self._loops.append(runner.get_loop())
        # A runner keeps one context for all it runs; each job has its own.
        return runner.run(call_async(call), context=contextvars.copy_context())
