"""What passes between a parent and its child comes back as it was, and belongs to its job."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic_core import from_json

from fastapi_jobs import task
from fastapi_jobs._child import ChannelSink
from fastapi_jobs.backends.child_frames import call_frame, read_call, read_report, report_frame
from fastapi_jobs.channel import Channel
from fastapi_jobs.registry import registry
from fastapi_jobs.retry import Retry
from fastapi_jobs.runner import Call, Caps, Report
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store.rows import Claimed

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CLAIMED = Claimed(
    id=uuid4(),
    task="tests.frames",
    queue="default",
    backend="process",
    args='{"text":"żółw \\"🐢\\""}',
    attempt=3,
    fence=4,
    failures=2,
    crashes=1,
    suspect=True,
    priority=-5,
    created_at=NOW,
    started_at=NOW + timedelta(seconds=1),
    owner="somebody",
    meta='{"key":[1,2.5,null]}',
)
REPORTS = [
    Report(AttemptOutcome.SUCCEEDED, result='{"a":"\\u0000"}'),
    Report(AttemptOutcome.FAILED, None, "ValueError", "ValueError: no", "Traceback …", True),
    Report(AttemptOutcome.RETRY_LATER, error="later", retryable=True, after=0.25, reason="busy"),
    Report(AttemptOutcome.SNOOZED, after=float("inf")),
]


class Recorded(Channel):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.events: list[list[object]] = []

    def send_event(self, body: bytes) -> None:
        self.events.append(from_json(body))


def test_a_call_comes_to_the_child_as_it_was() -> None:
    @task(name=CLAIMED.task)
    def framed(text: str) -> None: ...

    caps = Caps(result=1000, error=200)
    sink = ChannelSink(Recorded())
    try:
        call = Call(CLAIMED, framed.definition, sink, caps, Retry())
        assert read_call(call_frame(call)) == (CLAIMED, __name__, caps)
    finally:
        registry.remove(CLAIMED.task)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: str(report.outcome))
def test_a_report_comes_back_as_it_was(report: Report) -> None:
    assert read_report(report_frame(report)) == report


def test_what_is_said_after_the_end_is_not_sent() -> None:
    channel = Recorded()
    sink = ChannelSink(channel)
    sink.log("INFO", "a", "in time", {})
    for done in (1, 2):
        sink.progress(done, 2, None)
    sink.end()
    sink.log("INFO", "a", "late", {})
    sink.progress(3, None, None)
    sink.flush()
    assert channel.events == [
        ["log", "INFO", "a", "in time", {}],
        ["progress", {"done": 1, "total": 2, "message": None}],
        ["progress", {"done": 2, "total": 2, "message": None}],
    ]
