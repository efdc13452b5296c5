"""How a task may be called, what is refused before anything is stored, and where it runs."""

import os
import threading
from datetime import datetime
from typing import Any

import pytest

from fastapi_jobs import JobFailed, JobStatus
from fastapi_jobs.errors import InvalidArguments, InvalidOption, PayloadTooLarge
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT
from tests.conformance.rig import TEXT_CAP, Rig
from tests.conformance.tasks import calls

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_positional_arguments(rig: Rig, kind: Kind) -> None:
    assert await rig.result(calls.add.of(kind), 1, 2) == 3


async def test_keyword_arguments(rig: Rig, kind: Kind) -> None:
    assert await rig.result(calls.add.of(kind), b=1, a=2) == 3


async def test_defaults_hold(rig: Rig, kind: Kind) -> None:
    assert await rig.result(calls.defaults.of(kind), 1) == [1, 2, "c", None]


async def test_defaults_give_way(rig: Rig, kind: Kind) -> None:
    given = await rig.result(calls.defaults.of(kind), 1, 3, c="d", d=[4])
    assert given == [1, 3, "d", [4]]


async def test_every_kind_of_parameter(rig: Rig, kind: Kind) -> None:
    back = await rig.result(calls.everything.of(kind), 1, "s", 3, 4, only=True, x=1.5, y=2.0)
    assert back == {
        "first": 1,
        "second": "s",
        "rest": [3, 4],
        "only": True,
        "more": {"x": 1.5, "y": 2.0},
    }


async def test_no_annotations(rig: Rig, kind: Kind) -> None:
    assert await rig.result(calls.unannotated.of(kind), {"a": [1]}, b=None) == [{"a": [1]}, None]


async def test_none_is_a_result(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.nothing.of(kind))
    assert job.status is JobStatus.SUCCEEDED
    assert await job.result() is None
    assert (await rig.record(job)).result == "null"


async def test_the_callers_argument_stays_as_it_is(rig: Rig, kind: Kind) -> None:
    mine = [0]
    assert await rig.result(calls.grows.of(kind), mine) == [0, 1]
    assert mine == [0]


async def test_the_stored_arguments_stay_as_they_are(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.grows.of(kind), [5])
    again = await (await job.retry()).wait(LIMIT)
    assert await again.result() == [5, 1]


async def test_a_plain_call_runs_here_and_stores_nothing(rig: Rig, kind: Kind) -> None:
    task = calls.add.of(kind)
    before = await rig.count(task)
    value = task(1, 2)
    assert (value if kind == "def" else await value) == 3
    assert await rig.count(task) == before


REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "missing": ((1,), {}, "b"),
    "none at all": ((), {}, "a"),
    "too many": ((1, 2, 3), {}, "3"),
    "unknown": ((1, 2), {"c": 3}, "c"),
    "twice": ((1, 2), {"a": 3}, "a"),
    "wrong type": (("one", 2), {}, "a"),
    "a float for an int": ((1.5, 2), {}, "a"),
    "text that is a number": (("1", 2), {}, "a"),
    "true for an int": ((True, 2), {}, "a"),
    "none": ((None, 2), {}, "a"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_wrong_arguments_are_refused_and_nothing_is_stored(
    rig: Rig, kind: Kind, case: str
) -> None:
    args, kwargs, named = REFUSED[case]
    task = calls.add.of(kind)
    before = await rig.count(task)
    with pytest.raises(InvalidArguments, match=rf"Arguments of task '{task.name}'.*{named}"):
        await task.enqueue(*args, **kwargs)
    assert await rig.count(task) == before


UNFAITHFUL: dict[str, Any] = {
    "tuple for any": (1, 2),
    "set for any": {1},
    "bytes for any": b"x",
    "nan": float("nan"),
    "object": object(),
    "datetime for any": datetime(2024, 1, 1),  # noqa: DTZ001
    "surrogate": "\udc80",
}


@pytest.mark.parametrize("case", UNFAITHFUL)
async def test_what_would_come_back_changed_is_refused(rig: Rig, kind: Kind, case: str) -> None:
    task = calls.unannotated.of(kind)
    before = await rig.count(task)
    with pytest.raises(InvalidArguments, match="Arguments of task"):
        await task.enqueue(UNFAITHFUL[case])
    assert await rig.count(task) == before


async def test_arguments_above_the_cap_are_refused(rig: Rig, kind: Kind) -> None:
    task = calls.unannotated.of(kind)
    before = await rig.count(task)
    sentence = rf"The arguments of task '{task.name}' take 200,\d\d\d bytes; max_payload is 200,000"
    with pytest.raises(PayloadTooLarge, match=sentence):
        await task.enqueue("x" * TEXT_CAP)
    assert await rig.count(task) == before


async def test_arguments_just_below_the_cap_are_taken(rig: Rig, kind: Kind) -> None:
    text = "x" * (TEXT_CAP - 1000)
    assert await rig.result(calls.unannotated.of(kind), text) == [text, 1]


async def test_a_result_above_the_cap_fails_the_job(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.returns_text.of(kind), TEXT_CAP)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "take 200,002 bytes; max_payload is 200,000" in job.error
    assert await rig.outcomes(job) == [AttemptOutcome.FAILED]


@pytest.mark.parametrize(
    ("both", "says"),
    [
        (calls.returns_a_set, "would come back as"),
        (calls.returns_an_object, "has no JSON form"),
        (calls.returns_the_wrong_type, "not the str 'seven'"),
        (calls.returns_nan, "JSON has no nan"),
    ],
    ids=["set", "object", "wrong type", "nan"],
)
async def test_a_result_that_cannot_be_kept_fails_the_job(
    rig: Rig, kind: Kind, both: Any, says: str
) -> None:
    job = await rig.ended(both.of(kind))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "NotSerializable" in job.error
    assert says in job.error
    with pytest.raises(JobFailed, match="Annotate the return type"):
        await job.result()


async def test_a_result_that_is_not_stored_may_be_anything(rig: Rig, kind: Kind) -> None:
    job = await rig.ended(calls.keeps_no_result.of(kind), 1)
    assert job.status is JobStatus.SUCCEEDED
    assert await job.result() is None
    assert (await rig.record(job)).result is None


async def test_a_sync_function_never_runs_on_a_loop(rig: Rig) -> None:
    place = await rig.result(calls.where_sync)
    assert not place.on_loop
    here = (os.getpid(), threading.get_ident())
    assert (place.pid, place.thread) != here


async def test_an_async_function_runs_on_a_loop(rig: Rig) -> None:
    place = await rig.result(calls.where_async)
    assert place.on_loop


async def test_a_backend_that_shares_the_process_runs_here(rig: Rig) -> None:
    places = [await rig.result(calls.where_sync), await rig.result(calls.where_async)]
    here = [place.pid == os.getpid() for place in places]
    assert here == [rig.can.shares_process and not rig.can.is_remote] * 2


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("priority", 101, "larger runs first. The nearest is 100"),
        ("queue", "no spaces", "a queue name has"),
        ("run_after", datetime(2024, 1, 1), "the datetime is naive"),  # noqa: DTZ001
        ("expires", "soon", "an aware datetime, a timedelta or seconds"),
        ("backend", "treads", "Did you mean 'thread'"),
        ("tags", "mail", "give a list of words"),
        ("metadata", {1: 2}, "a mapping with text keys"),
        ("owner", "", "1 to 200"),
        ("unique_key", "", "1 to 1000"),
        ("priorty", 1, "Did you mean 'priority'"),
    ],
)
async def test_wrong_options_are_refused(rig: Rig, option: str, value: Any, rule: str) -> None:
    with pytest.raises(InvalidOption, match=rule):
        calls.add.sync.using(**{option: value})
