"""Jobs that wait for long, and what an app cannot reach: judged for the admin site."""

from datetime import UTC, datetime, timedelta

import pytest

from fastapi_jobs.checks import judge_troubles, judge_waits
from fastapi_jobs.checks.running import LONG_WAIT_SECONDS
from fastapi_jobs.conf import load
from fastapi_jobs.models import QueueRecord
from fastapi_jobs.store.stats import QueueCounts
from tests.cli.test_check import texts

NOW = datetime(2026, 5, 17, 12, tzinfo=UTC)


def counts(waited: float | None) -> dict[str, QueueCounts]:
    since = None if waited is None else NOW - timedelta(seconds=waited)
    return {"mail": QueueCounts({}, since)}


@pytest.mark.parametrize(
    ("waited", "paused", "said"),
    [
        (None, None, False),
        (LONG_WAIT_SECONDS, None, False),
        (LONG_WAIT_SECONDS + 1, None, True),
        (LONG_WAIT_SECONDS + 1, False, True),
        (LONG_WAIT_SECONDS + 1, True, False),
    ],
)
def test_long_waits(waited: float | None, paused: bool | None, said: bool) -> None:
    rows = [QueueRecord(name="mail", paused=paused)]
    found = texts(judge_waits(load(), rows, counts(waited), NOW))
    assert list(found) == (["warning long-wait"] if said else [])


def test_a_queue_that_the_settings_pause_may_wait() -> None:
    settings = load(queues={"mail": {"paused": True}})
    assert list(judge_waits(settings, [], counts(9999), NOW)) == []


def test_what_cannot_be_reached() -> None:
    assert list(judge_troubles(None, None, None)) == []
    found = texts(judge_troubles("it is locked", "no route", "refused"))
    assert list(found) == ["error database", "warning broker", "warning redis"]
    assert found["error database"] == "Nothing can be written: it is locked"
