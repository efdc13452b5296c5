"""What a running attempt reports, kept until it is worth a write."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi_jobs.clock import utc_now
from fastapi_jobs.store.finish import LogLine, NoteReason, WriteLogs, WriteProgress
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.transaction import Operation
from fastapi_jobs.wording import cut, lenient_json, text_of

PROGRESS_SECONDS = 0.25
"""The shortest time between two writes of one job's progress."""

LOG_SECONDS = 0.5
LOG_BATCH = 100
MESSAGE_BYTES = 8192
FIELDS_BYTES = 8192


def progress_json(done: float, total: float | None, message: str | None) -> str:
    """Progress as it is stored: numbers that are not finite become null."""
    text = None if message is None else cut(text_of(message), 1000)
    return lenient_json({"done": done, "total": total, "message": text}).decode()


class Reports:
    """The sink of one attempt. Every method may be called from any thread and never raises."""

    __slots__ = (
        "_claimed", "_flushed_at", "_lines", "_lock", "_logged_at", "_max_lines", "_number",
        "_progress", "_send",
    )  # fmt: skip

    def __init__(
        self,
        claimed: Claimed,
        send: Callable[[Operation[Any]], None],
        *,
        max_lines: int,
    ) -> None:
        self._claimed = claimed
        self._send = send
        self._max_lines = max_lines
        self._lock = threading.Lock()
        self._progress: str | None = None
        self._flushed_at = 0.0
        self._logged_at = 0.0
        self._lines: list[LogLine] = []
        self._number = 0

    def progress(self, done: float, total: float | None, message: str | None) -> None:
        """Keep the latest progress; written at most every PROGRESS_SECONDS."""
        self.progress_text(progress_json(done, total, message))

    def progress_text(self, text: str) -> None:
        """The same, already as JSON."""
        self._progress = text
        if time.monotonic() - self._flushed_at >= PROGRESS_SECONDS:
            self.flush_progress()

    def log(self, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep a log line, up to the attempt's limit."""
        extra = None
        if fields:
            extra = cut(lenient_json(fields).decode(), FIELDS_BYTES)
        with self._lock:
            self._number += 1
            if self._number > self._max_lines + 1:
                return
            if self._number == self._max_lines + 1:
                message = f"… further lines are cut: max_log_lines is {self._max_lines} …"
                level, logger, extra = "WARNING", "fastapi_jobs", None
            claimed = self._claimed
            self._lines.append(
                LogLine(
                    claimed.id,
                    claimed.attempt,
                    self._number,
                    utc_now(),
                    cut(level, 20),
                    cut(logger, 200),
                    cut(text_of(message), MESSAGE_BYTES),
                    extra,
                )
            )
            full = len(self._lines) >= LOG_BATCH
        if full or time.monotonic() - self._logged_at >= LOG_SECONDS:
            self.flush_logs()

    def mark(self, reason: str) -> None:
        """Note on the record why the job still runs."""
        self._send(NoteReason(self._claimed.id, self._claimed.fence, reason))

    def flush_progress(self) -> None:
        """Write the latest progress, if it is not written yet."""
        text, self._progress = self._progress, None
        if text is not None:
            self._flushed_at = time.monotonic()
            self._send(WriteProgress(self._claimed.id, self._claimed.fence, text))

    def flush_logs(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            lines, self._lines = self._lines, []
        if lines:
            self._logged_at = time.monotonic()
            self._send(WriteLogs(lines))

    def flush(self) -> None:
        """Write whatever waits."""
        if self._progress is not None:
            self.flush_progress()
        if self._lines:
            self.flush_logs()
