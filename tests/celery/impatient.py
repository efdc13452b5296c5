"""Celery's app with a visibility timeout that is shorter than the jobs, for `celery -A` alone."""

import os
import time
from typing import Any

from celery import signals

from fastapi_jobs.celery_app import app
from fastapi_jobs.testing.conformance.gate import note

SECONDS = float(os.environ["VISIBILITY_SECONDS"])

app.conf.broker_transport_options = app.conf.broker_transport_options | {
    "visibility_timeout": SECONDS,
    # How often a worker looks for messages past it; Celery's own is 100 s.
    "unacked_restore_interval": SECONDS / 2,
    "unacked_restore_throttle": 1,
}


def note_message(task_id: str, **_: Any) -> None:
    """A message came; it may be the job's second."""
    note(os.environ["MESSAGES"], task_id)


def note_arrival(request: Any, **_: Any) -> None:
    """A message came to the consumer, which may hold it back."""
    note(f"{os.environ['MESSAGES']}.arrivals", f"{request.id}@{time.time()}")


signals.task_prerun.connect(note_message, weak=False)
signals.task_received.connect(note_arrival, weak=False)
