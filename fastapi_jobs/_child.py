"""The child process of the `process` backend: `python -m fastapi_jobs._child FD`."""

import sys

from fastapi_jobs.channel import Channel

if __name__ == "__main__":
    # Before the slow imports: from here on this process dies with its parent.
    _channel = Channel(int(sys.argv[1]))

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from importlib import import_module
from typing import Any

from pydantic_core import from_json, to_json

from fastapi_jobs.app import adopt_settings
from fastapi_jobs.backends.child_frames import Order, read_call, report_frame
from fastapi_jobs.capture import capture_logs
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.reports import MESSAGE_BYTES, progress_json
from fastapi_jobs.retry import Retry
from fastapi_jobs.runner import Call, Report, call_async, call_sync
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.wording import (
    cut,
    error_text,
    error_type,
    lenient_json,
    text_of,
    traceback_text,
)

PROGRESS_SECONDS = 0.1

# Which errors a task that names none retries; how often is the parent's business.
RETRY = Retry()


class ChannelSink:
    """Sends an attempt's reports to the parent, until its end: what a thread that outlives its
    job still says must not be taken for the next one's.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sent_at = 0.0
        self._waiting: bytes | None = None
        self._over = False
        self._lock = threading.Lock()

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Send the latest progress, at most every PROGRESS_SECONDS."""
        self._waiting = to_json(["progress", from_json(progress_json(done, total, message))])
        if time.monotonic() - self._sent_at >= PROGRESS_SECONDS:
            self.flush()

    def log(self, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Send a log line."""
        text = cut(text_of(message), MESSAGE_BYTES)
        line = ["log", level, cut(logger, 200), text, from_json(lenient_json(fields))]
        self._send(to_json(line))

    def mark(self, reason: str) -> None:
        """Nothing: a child is killed at its timeout."""

    def flush(self) -> None:
        """Send progress that waits."""
        frame, self._waiting = self._waiting, None
        if frame is not None:
            self._sent_at = time.monotonic()
            self._send(frame)

    def end(self) -> None:
        """Send what waits, and nothing from now on."""
        self.flush()
        with self._lock:
            self._over = True

    def _send(self, frame: bytes) -> None:
        with self._lock:
            if not self._over:
                self._channel.send_event(frame)


def serve(channel: Channel) -> None:
    """Carry out calls until the parent is gone."""
    hello = channel.receive()
    if hello is None:
        return
    _settle_in(from_json(hello))
    channel.send_ready()
    with asyncio.Runner() as runner:
        while (frame := channel.receive()) is not None:
            sink = ChannelSink(channel)
            report = _carry_out(read_call(frame), sink, runner)
            sink.end()
            channel.send_result(report_frame(report))


def _settle_in(hello: dict[str, Any]) -> None:
    sys.path[:] = hello["sys_path"]
    logging.basicConfig(level=hello["log_level"])
    capture_logs()
    if hello["settings"]:
        adopt_settings(hello["settings"])
    for module in hello["modules"]:
        import_module(module)


def _carry_out(order: Order, sink: ChannelSink, runner: asyncio.Runner) -> Report:
    claimed, module, caps = order
    try:
        definition = _definition(claimed.task, module)
    except BaseException as error:
        return Report(
            AttemptOutcome.FAILED,
            error_type=error_type(error),
            error=error_text(error, caps.error),
            traceback=traceback_text(error, caps.error * 4),
        )
    retry = definition.options.retry or RETRY
    call = Call(claimed=claimed, definition=definition, sink=sink, caps=caps, retry=retry)
    # A context of its own: what one job leaves in context variables is not the next one's.
    context = copy_context()
    if definition.is_async:
        loop = runner.get_loop()
        # Its own `run` watches for Ctrl-C, at thrice the price; no terminal reaches a child.
        return loop.run_until_complete(loop.create_task(call_async(call, loop), context=context))
    return context.run(call_sync, call)


def _definition(task: str, module: str) -> TaskDefinition:
    if task not in registry:
        import_module(module)
    return registry.find(task)


if __name__ == "__main__":
    serve(_channel)
