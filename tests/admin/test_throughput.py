"""Ends by minute, summed up for a chart and its table."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from fastapi_jobs.admin.throughput import SPANS, sparkline, throughput
from fastapi_jobs.status import JobStatus

NOW = datetime(2026, 5, 17, 12, 34, 56, tzinfo=UTC)
S = JobStatus


def minute(hour: int, minute_: int) -> datetime:
    return datetime(2026, 5, 17, hour, minute_, tzinfo=UTC)


def test_every_end_is_counted_in_its_step_and_none_outside() -> None:
    minutes = {
        minute(12, 34): Counter({S.SUCCEEDED: 3, S.FAILED: 1}),
        minute(11, 35): Counter({S.SUCCEEDED: 5}),
        minute(11, 34): Counter({S.SUCCEEDED: 100}),
    }
    chart = throughput(minutes, SPANS["1h"], NOW)
    assert (chart.starts[0], chart.starts[-1]) == (minute(11, 35), minute(12, 34))
    assert chart.totals == {S.SUCCEEDED: 8, S.FAILED: 1, S.CANCELLED: 0}
    assert chart.ended[S.SUCCEEDED][0] == 5
    assert chart.rows == [(minute(12, 34), [3, 1, 0]), (minute(11, 35), [5, 0, 0])]


def test_a_day_goes_by_quarters_of_an_hour() -> None:
    minutes = {minute(12, n): Counter({S.CANCELLED: 1}) for n in range(15, 32)}
    minutes[minute(12, 34) - timedelta(days=1)] = Counter({S.FAILED: 9})
    chart = throughput(minutes, SPANS["24h"], NOW)
    assert len(chart.starts) == 96
    assert chart.rows == [(minute(12, 30), [0, 0, 2]), (minute(12, 15), [0, 0, 15])]


def test_the_chart_gets_the_figures_of_the_table() -> None:
    chart = throughput({minute(12, 0): Counter({S.FAILED: 2})}, SPANS["1h"], NOW)
    data = chart.data
    place = data["starts"].index(minute(12, 0).timestamp())
    assert data["ended"]["failed"][place] == 2
    assert {name: sum(counts) for name, counts in data["ended"].items()} == chart.totals
    assert data["step"] == 60


def test_a_line_ends_now() -> None:
    line = sparkline({minute(12, 34): 7, minute(12, 33): 2, minute(11, 34): 9}, NOW)
    assert (len(line), line[-2:], sum(line)) == (60, [2, 7], 9)
