"""Threads that carry out calls; under the thread backend, and the event loop's `def` tasks."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from fastapi_jobs.runner import Call, Report, call_async, call_sync

CALL_THREADS = "fastapi-jobs-call"
"""How the names of these threads begin."""

_Work = tuple[asyncio.Future[Report], Callable[[], Report]]
_local = threading.local()


class CallThreads:
    """Up to `size` threads. A running function cannot be stopped: it is marked, and ends by itself.

    An `async def` task runs on an event loop that its thread keeps, and can be cancelled.
    """

    def __init__(self, size: int, name: str) -> None:
        self._pool = _Pool(size, f"{CALL_THREADS}-{name}")
        self._loops: list[asyncio.AbstractEventLoop] = []

    async def run(self, call: Call) -> Report:
        """Run `call` in a thread and wait for it, whatever happens to the caller. A `def` task is
        told when its timeout has passed.
        """
        timer = None
        if call.timeout is not None and not call.definition.is_async:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(call.timeout, call.mark_overdue)
        try:
            return await self.start(call)
        finally:
            if timer is not None:
                timer.cancel()

    def start(self, call: Call) -> "asyncio.Future[Report]":
        """Run `call` in a thread; the future is set when it is over, unless it is done by then."""
        function = self._run_async if call.definition.is_async else call_sync
        context = contextvars.copy_context()
        return self._pool.submit(lambda: context.run(function, call))

    def stop(self) -> None:
        """Take no more calls; threads that still run are left to the end of the process."""
        self._pool.stop()
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


class _Pool:
    """A ThreadPoolExecutor whose threads the interpreter does not wait for at its end: a function
    that never ends must not keep a process alive whose jobs were given back.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads = 0

    def submit(self, function: Callable[[], Report]) -> "asyncio.Future[Report]":
        """Run `function` in a thread; called on one event loop."""
        future: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._work.put((future, function))
        if not self._idle.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            name = f"{self._name}_{self._threads}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        return future

    def stop(self) -> None:
        """Cancel what has not begun, and end the threads that are idle."""
        try:
            while waiting := self._work.get_nowait():
                waiting[0].cancel()
        except Empty:
            pass
        self._work.put(None)

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get_nowait()
            except Empty:
                self._idle.release()
                work = self._work.get()
            if work is None:
                self._work.put(None)  # for the next
                return
            future, function = work
            if future.cancelled():
                continue
            report: Report | BaseException
            try:
                report = function()
            except BaseException as error:
                report = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                future.get_loop().call_soon_threadsafe(_settle, future, report)
            del work, future, function, report


def _settle(future: "asyncio.Future[Report]", report: Report | BaseException) -> None:
    if future.done():
        return
    if isinstance(report, BaseException):
        future.set_exception(report)
    else:
        future.set_result(report)
