"""What passes between a parent and its child comes back as it was, and belongs to its job."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic_core import from_json

from fastapi_jobs import channel, task
from fastapi_jobs._child import ChannelSink
from fastapi_jobs.backends.child_frames import call_frame, read_call, read_report, report_frame
from fastapi_jobs.backends.process import ProcessBackend
from fastapi_jobs.channel import Channel, FrameTooLarge
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


@pytest.fixture
def call() -> Iterator[Call]:
    """A claimed job of a task that is registered for this test."""

    @task(name=CLAIMED.task)
    def framed(text: str) -> None: ...

    sink = ChannelSink(Recorded())
    yield Call(CLAIMED, framed.definition, sink, Caps(result=1000, error=200), Retry())
    registry.remove(CLAIMED.task)


def test_a_call_comes_to_the_child_as_it_was(call: Call) -> None:
    assert read_call(call_frame(call)) == (CLAIMED, __name__, call.caps)


async def test_a_call_too_large_for_a_child_is_over(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "MAX_FRAME", 100)
    backend = ProcessBackend(1)
    await backend.start()
    with pytest.raises(FrameTooLarge):
        await backend.submit(call)
    await backend.stop()
    assert not call.in_call, "a cancel would now hit the writing of its end"


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: str(report.outcome))
def test_a_report_comes_back_as_it_was(report: Report) -> None:
    assert read_report(report_frame(report)) == report


def test_what_is_said_after_the_end_is_not_sent() -> None:
    recorded = Recorded()
    sink = ChannelSink(recorded)
    sink.log("INFO", "a", "in time", {})
    for done in (1, 2):
        sink.progress(done, 2, None)
    sink.end()
    sink.log("INFO", "a", "late", {})
    sink.progress(3, None, None)
    sink.flush()
    assert recorded.events == [
        ["log", "INFO", "a", "in time", {}],
        ["progress", {"done": 1, "total": 2, "message": None}],
        ["progress", {"done": 2, "total": 2, "message": None}],
    ]
