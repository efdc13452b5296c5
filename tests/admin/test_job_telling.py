"""How the past of a job is told: its timeline, its traceback, and what a task calls secret."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from fastapi_jobs import task
from fastapi_jobs.admin.redaction import HIDDEN, shown_arguments, with_secrets
from fastapi_jobs.admin.timeline import WIDTH, timeline
from fastapi_jobs.admin.tracebacks import PACKAGE, parts_of
from fastapi_jobs.errors import InvalidArguments, TaskDefinitionError
from fastapi_jobs.models import AttemptRecord, JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.store.job_view import JobView, Neighbours
from tests.admin import job_tasks as tasks

START = datetime(2030, 1, 1, tzinfo=UTC)
LOG_IN = "tests.admin.job_tasks.log_in"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def attempt(number: int, begin: float, end: float | None, outcome: str | None) -> AttemptRecord:
    return AttemptRecord(
        job_id=uuid4(),
        number=number,
        fence=number,
        worker_id=uuid4(),
        backend="process",
        started_at=at(begin),
        finished_at=None if end is None else at(end),
        outcome=outcome,
    )


def told(status: str, *attempts: AttemptRecord, now: float = 100, **columns: Any) -> list[str]:
    job = JobRecord(
        id=uuid4(), task="t", queue="q", status=status, args="{}", created_at=START, **columns
    )
    view = JobView(job, attempts, None, [], False, {}, Neighbours([], [], {}))
    steps = timeline(view, at(now))
    for each in steps:
        assert 0 <= each.x <= each.x + each.width <= WIDTH + 0.2
    return [
        each.title if each.seconds is None else f"{each.title} ({each.seconds:g} s)"
        for each in steps
    ]


def test_a_crash_and_a_retry() -> None:
    runs = [
        attempt(1, 1, 5, "crashed"),
        attempt(2, 6, 10, "failed"),
        attempt(3, 40, 41, "succeeded"),
    ]
    assert told("succeeded", *runs, finished_at=at(41), run_after=at(40)) == [
        "Enqueued",
        "Waited in the queue (1 s)",
        "Attempt 1 crashed (4 s)",
        "Waited for another worker (1 s)",
        "Attempt 2 failed (4 s)",
        "Waited to be tried again (30 s)",
        "Attempt 3 succeeded (1 s)",
        "Finished: succeeded",
    ]


def test_a_scheduled_job_and_one_that_runs() -> None:
    assert told("scheduled", run_after=at(60), now=10) == [
        "Enqueued",
        "Scheduled for later (60 s)",
        "Due",
    ]
    run = attempt(1, 62, None, None)
    assert told("running", run, run_after=at(60), cancel_requested_at=at(90)) == [
        "Enqueued",
        "Scheduled for later (60 s)",
        "Due",
        "Waited in the queue (2 s)",
        "Attempt 1 runs (38 s)",
        "Asked to stop",
    ]


def test_a_retry_that_waits_and_a_queue_that_stands() -> None:
    failed = attempt(1, 0, 1, "failed")
    assert told("scheduled", failed, run_after=at(31), now=2)[2:] == [
        "Waits to be tried again (30 s)",
        "Due",
    ]
    assert told("queued", now=9) == ["Enqueued", "Waits in the queue (9 s)"]
    # Nobody's clock may be behind another's for long, but nothing breaks by it.
    assert told("queued", now=-9) == ["Enqueued", "Waits in the queue (0 s)"]


def test_so_many_attempts_that_some_are_left_out() -> None:
    runs = [attempt(number, number, number + 0.5, "failed") for number in range(951, 1001)]
    assert told("queued", *runs, now=2000)[1] == "950 earlier attempts are not shown"


def test_our_frames_are_folded_wherever_the_worker_has_the_package() -> None:
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{PACKAGE}/runner.py", line 1, in call\n    await it\n    ^^^^^\n'
        '  File "C:\\venv\\Lib\\site-packages\\fastapi_jobs\\runner.py", line 2, in f\n    x\n'
        '  File "/home/ann/fastapi_jobs/shop/tasks.py", line 3, in mine\n    raise ValueError\n'
        "ValueError: no\n"
    )
    parts = parts_of(text)
    assert [each.folded for each in parts] == [0, 2, 0]
    assert "mine" in parts[2].text
    assert "ValueError: no" in parts[2].text
    assert "\n".join(each.text for each in parts) + "\n" == text


def test_what_no_traceback_is_stays_as_it_is() -> None:
    assert [each.text for each in parts_of("just words\n  File nothing\n")] == [
        "just words\n  File nothing"
    ]
    assert parts_of("") == []


def test_secret_arguments_are_hidden() -> None:
    args = '{"user":"anna","password":"hunter2"}'
    assert shown_arguments(LOG_IN, args) == {"user": "anna", "password": HIDDEN}
    assert shown_arguments("of another process", args) == {"user": HIDDEN, "password": HIDDEN}
    assert with_secrets(LOG_IN, {"user": HIDDEN, "password": HIDDEN}, args) == {
        "user": HIDDEN,
        "password": "hunter2",
    }


def test_a_refusal_does_not_tell_a_secret_value() -> None:
    with pytest.raises(InvalidArguments) as refused:
        registry.find(LOG_IN).arguments.dump(("anna", "psw"), {})
    assert "psw" not in str(refused.value)
    assert "password" in str(refused.value)
    with pytest.raises(InvalidArguments) as refused:
        registry.find(LOG_IN).arguments.load('{"user":1,"password":["psw"]}')
    assert "psw" not in str(refused.value)


def test_secret_names_parameters() -> None:
    with pytest.raises(TaskDefinitionError, match="Did you mean 'password'") as refused:

        @task(secret=["pasword"])
        async def wrong(password: str) -> None: ...

    assert "secret" in str(refused.value)
    assert "and what it returns is named 'return'" in str(refused.value)
    with pytest.raises(TaskDefinitionError, match="names of parameters"):
        task(secret="password")(tasks.add.definition.function)
