"""Lines that a task logs through `logging` become lines of its attempt.

Records are seen where they are made. A handler would be seen by the host: with one at the root,
a later `logging.basicConfig()` does nothing, and warnings without a handler are not printed.
"""

import logging
from typing import Any

from fastapi_jobs.context import inside

_OURS = ("fastapi_jobs.store", "fastapi_jobs.dispatcher", "fastapi_jobs.worker")


class AttemptRecords:
    """Makes records as the factory before it did, and keeps a copy of those of a running job."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """The record, as `logging` wants it."""
        record: logging.LogRecord = self._make(*args, **kwargs)
        context = inside()
        # One without a name is the blank that `logging.makeLogRecord` fills with a finished one.
        if context is None or not record.name or record.name.startswith(_OURS):
            return record
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
            context.log_at(record.levelname, record.name, message, {})
        except Exception:  # a wrong call of logging: whoever handles the record says so
            return record
        return record


def capture_logs() -> None:
    """Start capturing in this process; repeated, it does nothing."""
    current = logging.getLogRecordFactory()
    if not isinstance(current, AttemptRecords):
        logging.setLogRecordFactory(AttemptRecords(current))
