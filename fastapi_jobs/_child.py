"""The child process of the `process` backend: `python -m fastapi_jobs._child FD`."""

import sys

from fastapi_jobs.channel import Channel

if __name__ == "__main__":
    # Before the slow imports: from here on this process dies with its parent.
    _channel = Channel(int(sys.argv[1]))

import asyncio
import logging
import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import asdict
from datetime import datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from fastapi_jobs.app import adopt_settings
from fastapi_jobs.capture import capture_logs
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.reports import MESSAGE_BYTES, progress_json
from fastapi_jobs.retry import Retry
from fastapi_jobs.runner import Call, Caps, Report, call_async, call_sync
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.wording import cut, error_text, lenient_json, text_of, traceback_text

PROGRESS_SECONDS = 0.1


class ChannelSink:
    """Sends an attempt's reports to the parent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sent_at = 0.0
        self._waiting: bytes | None = None

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Send the latest progress, at most every PROGRESS_SECONDS."""
        self._waiting = to_json(["progress", from_json(progress_json(done, total, message))])
        if time.monotonic() - self._sent_at >= PROGRESS_SECONDS:
            self.flush()

    def log(self, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Send a log line."""
        text = cut(text_of(message), MESSAGE_BYTES)
        line = ["log", level, cut(logger, 200), text, from_json(lenient_json(fields))]
        self._channel.send_event(to_json(line))

    def mark(self, reason: str) -> None:
        """Nothing: a child is killed at its timeout."""

    def flush(self) -> None:
        """Send progress that waits."""
        frame, self._waiting = self._waiting, None
        if frame is not None:
            self._sent_at = time.monotonic()
            self._channel.send_event(frame)


def serve(channel: Channel) -> None:
    """Carry out calls until the parent is gone."""
    hello = channel.receive()
    if hello is None:
        return
    _settle_in(from_json(hello))
    channel.send_ready()
    with asyncio.Runner() as loop:
        while (frame := channel.receive()) is not None:
            sink = ChannelSink(channel)
            report = _carry_out(from_json(frame), sink, loop)
            sink.flush()
            channel.send_result(to_json(asdict(report)))


def _settle_in(hello: dict[str, Any]) -> None:
    sys.path[:] = hello["sys_path"]
    logging.basicConfig(level=hello["log_level"])
    capture_logs()
    if hello["settings"]:
        adopt_settings(hello["settings"])
    for module in hello["modules"]:
        import_module(module)


def _carry_out(frame: dict[str, Any], sink: ChannelSink, loop: asyncio.Runner) -> Report:
    claimed = _claimed(frame["claimed"])
    caps = Caps(**frame["caps"])
    try:
        definition = _definition(claimed.task, frame["module"])
    except BaseException as error:
        return Report(
            AttemptOutcome.FAILED,
            error_type=type(error).__name__,
            error=error_text(error, caps.error),
            traceback=traceback_text(error, caps.error),
        )
    retry = definition.options.retry or Retry(max=frame["retries"])
    call = Call(claimed=claimed, definition=definition, sink=sink, caps=caps, retry=retry)
    # A context of its own: what one job leaves in context variables is not the next one's.
    context = copy_context()
    if definition.is_async:
        return loop.run(call_async(call), context=context)
    return context.run(call_sync, call)


def _definition(task: str, module: str) -> TaskDefinition:
    if task not in registry:
        import_module(module)
    return registry.find(task)


def _claimed(fields: dict[str, Any]) -> Claimed:
    for name in ("created_at", "started_at"):
        fields[name] = datetime.fromisoformat(fields[name])
    return Claimed(**fields | {"id": UUID(fields["id"])})


if __name__ == "__main__":
    serve(_channel)
