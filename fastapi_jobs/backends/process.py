"""The `process` backend: every job in a child process that can be killed."""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from pydantic_core import from_json, to_json

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.child_errors import (
    ChildDied,
    ChildError,
    ChildFailedToStart,
    ChildPoolStopped,
    ChildTimeout,
)
from fastapi_jobs.backends.child_frames import call_frame, read_report
from fastapi_jobs.backends.children import ChildPool
from fastapi_jobs.backends.event_loop import stop_here
from fastapi_jobs.failpoints import reach
from fastapi_jobs.runner import Call, Report, timed_out_report
from fastapi_jobs.status import AttemptOutcome

COMMAND = (sys.executable, "-m", "fastapi_jobs._child")


class ProcessBackend(Backend):
    """Real cancel and timeout, for `def` and `async def` alike; a crash hurts only its own job."""

    name = "process"
    stops_sync = True
    shares_process = False
    needs_import = True

    def __init__(
        self,
        slots: int,
        *,
        settings_json: str = "",
        kill_grace: float = 0.0,
        max_jobs_per_child: int | None = None,
        max_memory_mb: int | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        super().__init__(slots)
        hello = {
            "settings": settings_json,
            # "" is the working folder, where servers such as uvicorn look for the app.
            "sys_path": [os.path.abspath(path) for path in sys.path],
            "modules": list(modules),
            "log_level": logging.getLogger().level,
        }
        self._pool = ChildPool(
            command=COMMAND,
            size=slots,
            hello=to_json(hello),
            kill_grace=kill_grace,
            max_calls=max_jobs_per_child,
            max_memory=None if max_memory_mb is None else max_memory_mb * 1024 * 1024,
        )

    async def start(self) -> None:
        """Open the pool; children start with the first jobs."""
        await self._pool.start()

    async def submit(self, call: Call) -> Report:
        """Send the call to a child and wait for its report."""
        call.loop = asyncio.get_running_loop()
        call.task = asyncio.current_task(call.loop)
        try:
            call.in_call = True
            if call.cancel_requested or call.released:
                raise asyncio.CancelledError
            reach("begin")
            answer = await self._pool.call(
                call_frame(call), on_frame=_Events(call), timeout=call.timeout
            )
            reach("return")
            return read_report(answer)
        except asyncio.CancelledError:
            if call.task is not None and call.task.cancelling():
                call.task.uncancel()
            stopped = AttemptOutcome.RELEASED if call.released else AttemptOutcome.CANCELLED
            return Report(AttemptOutcome.CANCELLED if call.cancel_requested else stopped)
        except ChildError as error:
            return _report_of(call, error)
        finally:
            # Whatever came back, from here on a cancel must not hit the writing of its end.
            call.in_call = False

    def cancel(self, call: Call) -> None:
        """Kill the child."""
        call.cancel_requested = True
        stop_here(call)

    def release(self, call: Call) -> None:
        """Kill the child; the job goes back uncharged."""
        call.released = True
        stop_here(call)

    async def stop(self) -> None:
        """Kill and reap every child."""
        await self._pool.stop()

    @property
    def pids(self) -> list[int]:
        """The children that live, for diagnosis."""
        return self._pool.pids


def _report_of(call: Call, error: ChildError) -> Report:
    match error:
        case ChildTimeout():
            return timed_out_report(call)
        case ChildPoolStopped():
            return Report(AttemptOutcome.RELEASED)
        case ChildDied():
            return Report(AttemptOutcome.CRASHED, error_type="ChildDied", error=str(error))
        case ChildFailedToStart():
            text = str(error)
            return Report(
                AttemptOutcome.FAILED, error_type="ChildFailedToStart", error=text, retryable=True
            )
    return Report(AttemptOutcome.FAILED, error_type=type(error).__name__, error=str(error))


class _Events:
    """Progress and log lines from the child, handed to the attempt's sink."""

    def __init__(self, call: Call) -> None:
        self._sink = call.sink

    def __call__(self, frame: bytes) -> None:
        match from_json(frame):
            case ["progress", {"done": done, "total": total, "message": message}]:
                self._sink.progress(done, total, message)
            case ["log", level, logger, message, fields]:
                self._sink.log(level, logger, message, fields)
