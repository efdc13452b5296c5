"""What `fastapi-jobs check` says of Celery's own settings, and of those that it reads by itself."""

from typing import Any

import pytest

from fastapi_jobs.checks.broker import examine_broker
from fastapi_jobs.checks.celery_options import (
    judge_celery_options,
    judge_one_machine,
    judge_unknown_options,
)
from fastapi_jobs.checks.findings import Finding, Level
from fastapi_jobs.conf import Settings, load
from tests.cli.command import Site

URL = "redis://:secret@host:6379/0"


def settings_with(options: dict[str, Any], **more: Any) -> Settings:
    """Settings with these options of Celery's."""
    return load(backend="celery", celery={"broker_url": URL, "options": options}, **more)


def judged(
    settings: Settings, variables: dict[str, str] | None = None, timeouts: tuple[float, ...] = ()
) -> list[Finding]:
    """What is said of them."""
    return list(judge_celery_options(settings, variables or {}, timeouts))


def test_nothing_is_said_of_what_is_well() -> None:
    options = {
        "worker_max_tasks_per_child": 100,
        "result_backend": "disabled://",
        "accept_content": ["json"],
        "broker_transport_options": {"visibility_timeout": 3600, "global_keyprefix": "shop"},
    }
    assert judged(settings_with(options), {"CELERY_BROKER_URL": URL}) == []


RESULTS = "Nothing of ours goes there: a job's result is in its row. Remove it."


def test_a_result_backend_is_told() -> None:
    settings = settings_with({"result_backend": "redis://:secret@other/1"})
    assert judged(settings) == [
        Finding(
            Level.WARNING,
            "celery-results",
            "celery.options.result_backend switches on a result backend of Celery's "
            f"(redis://:***@other/1). {RESULTS}",
        )
    ]
    [said] = judged(settings_with({}), {"CELERY_RESULT_BACKEND": "rpc://"})
    assert said.text == (
        "The variable CELERY_RESULT_BACKEND switches on a result backend of Celery's (rpc://). "
        f"{RESULTS}"
    )


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL"])
def test_a_broker_that_celery_takes_instead_is_told(name: str) -> None:
    assert judged(settings_with({}), {name: "redis://:secret@elsewhere/1"}) == [
        Finding(
            Level.ERROR,
            "celery-broker",
            f"The variable {name} is set (redis://:***@elsewhere/1), and Celery takes it instead "
            "of celery.broker_url (redis://:***@host:6379/0): a process that does not have it "
            "publishes or consumes elsewhere. Remove it.",
        )
    ]


@pytest.mark.parametrize(
    ("seconds", "timeouts", "longest"),
    [(10, (), "15"), (20, (60.0, 30.0), "60"), (14.5, (1.0,), "15")],
)
def test_a_visibility_timeout_that_is_too_short_is_told(
    seconds: float, timeouts: tuple[float, ...], longest: str
) -> None:
    settings = settings_with({"broker_transport_options": {"visibility_timeout": seconds}})
    assert judged(settings, timeouts=timeouts) == [
        Finding(
            Level.WARNING,
            "visibility-timeout",
            f"celery.options.broker_transport_options.visibility_timeout = {seconds:g} is shorter "
            f"than jobs may run ({longest} s, by lease_seconds and timeouts): the broker hands out "
            "their messages again. No job runs twice for it, since its row is claimed once, but "
            "every such message costs a look at the database. Remove it: an hour is usual.",
        )
    ]


ONE_MACHINE = (
    "Jobs run on celery and database_url is a SQLite file: every worker has to be on this machine. "
    "One on another would get messages of jobs that its own file does not hold. For several "
    "machines use PostgreSQL."
)


def test_sqlite_under_celery_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(judge_one_machine(settings_with({}))) == [
        Finding(Level.NOTE, "sqlite-celery", ONE_MACHINE)
    ]
    monkeypatch.setattr(Settings, "environment", "production")
    assert list(judge_one_machine(settings_with({}))) == [
        Finding(Level.WARNING, "sqlite-celery", ONE_MACHINE)
    ]
    assert list(judge_one_machine(settings_with({}, database_url="postgresql://u@h/d"))) == []


def test_an_option_that_celery_does_not_know_is_told() -> None:
    settings = settings_with({"worker_max_task_per_child": 1})
    found = [each for each in examine_broker(settings) if each.code == "celery-options"]
    assert found == list(
        judge_unknown_options(
            ["'worker_max_task_per_child'. Did you mean 'worker_max_tasks_per_child'?"]
        )
    )
    assert found[0].text == (
        "celery.options: Celery has no setting 'worker_max_task_per_child'. "
        "Did you mean 'worker_max_tasks_per_child'?"
    )


def test_the_command_says_it(sqlite_site: Site, redis_url: str) -> None:
    variables = {
        "FASTAPI_JOBS_BACKEND": "celery",
        "FASTAPI_JOBS_CELERY__BROKER_URL": redis_url,
        "FASTAPI_JOBS_CELERY__OPTIONS__WORKER_MAX_TASKS": "3",
        "FASTAPI_JOBS_CELERY__OPTIONS__BROKER_TRANSPORT_OPTIONS": "{visibility_timeout = 1}",
        "CELERY_RESULT_BACKEND": redis_url,
        "CELERY_BROKER_URL": redis_url,
    }
    code, found = sqlite_site.check(**variables)
    assert code == 1
    said = {"error celery-options", "warning celery-results", "warning visibility-timeout"}
    assert said | {"note sqlite-celery", "ok broker"} <= set(found)


def test_pickle_is_refused(sqlite_site: Site) -> None:
    content = '["json", "pickle"]'
    code, found = sqlite_site.check(FASTAPI_JOBS_CELERY__OPTIONS__ACCEPT_CONTENT=content)
    assert code == 1
    assert found["error settings"] == [
        'celery.options.accept_content = ["json", "pickle"] (variable '
        "FASTAPI_JOBS_CELERY__OPTIONS__ACCEPT_CONTENT): must be "
        '["json"]: pickle would let who reaches the broker run code. Remove it.'
    ]
