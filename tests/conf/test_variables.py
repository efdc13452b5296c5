"""Environment variables: what they mean, and what becomes of those that mean nothing."""

import logging
from pathlib import Path

import pytest

from fastapi_jobs.conf import QueueSettings, Settings, load
from tests.conf.conftest import Problems, Write

Variables = pytest.MonkeyPatch


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("BACKEND", "thread", "backend", "thread"),
        ("RETRIES", "3", "retries", 3),
        ("RETRIES", "@int 3", "retries", 3),
        ("TIMEOUT", "1.5", "timeout", 1.5),
        ("TIMEOUT", "", "timeout", None),
        ("DISPATCH", "false", "dispatch", False),
        ("DISPATCH", "False", "dispatch", False),
        ("DISPATCH", "0", "dispatch", False),
        ("DISPATCH", "1", "dispatch", True),
        ("MIGRATE", "true", "migrate", True),
        ("MIGRATE", "auto", "migrate", "auto"),
        ("TASK_MODULES", '["a.b", "c"]', "task_modules", ("a.b", "c")),
        ("NAME", "1.10", "name", "1.10"),
        ("NAME", "true", "name", "true"),
        ("NAME", '"quoted"', "name", "quoted"),
        ("NAME", "@format is-{env[HOST_NAME]}", "name", "is-box"),
        ("NAME", "@home", "name", "@home"),
        ("REDIS_URL", "redis://:a#b=c@h/0", "redis_url", "redis://:a#b=c@h/0"),
    ],
)
def test_variable_is_cast(
    name: str, text: str, key: str, value: object, monkeypatch: Variables
) -> None:
    monkeypatch.setenv("HOST_NAME", "box")
    monkeypatch.setenv(f"FASTAPI_JOBS_{name}", text)
    settings = load()
    assert getattr(settings, key) == value
    assert settings.origins[key] == f"variable FASTAPI_JOBS_{name}"


def test_two_underscores_go_into_a_table(monkeypatch: Variables) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__BROKER_URL", "redis://h")
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__WINDOW", "7")
    monkeypatch.setenv("FASTAPI_JOBS_RETENTION__FAILED", "12h")
    settings = load()
    assert (settings.celery.broker_url, settings.celery.window) == ("redis://h", 7)
    assert settings.retention.failed is not None
    assert settings.retention.failed.total_seconds() == 12 * 3600
    assert settings.celery.pool == "prefork"


def test_whole_table_in_one_variable(monkeypatch: Variables) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_CELERY", '{broker_url = "redis://h", window = 3}')
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__WINDOW", "4")
    monkeypatch.setenv("FASTAPI_JOBS_ROUTES", '{"a.*" = "mail"}')
    settings = load()
    assert (settings.celery.broker_url, settings.celery.window) == ("redis://h", 4)
    assert settings.routes == {"a.*": "mail"}


def test_queue_is_found_in_any_case(write: Write, monkeypatch: Variables) -> None:
    write("[default.fastapi_jobs.queues.Mail]\npaused = true\n")
    monkeypatch.setenv("FASTAPI_JOBS_QUEUES__MAIL__MAX_RUNNING", "3")
    monkeypatch.setenv("FASTAPI_JOBS_QUEUES__REPORTS__BACKEND", "process")
    assert load().queues == {
        "Mail": QueueSettings(paused=True, max_running=3),
        "reports": QueueSettings(backend="process"),
    }


def test_reserved_variables_are_no_keys(
    monkeypatch: Variables, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("TEST_POSTGRES_BIN", "FAILPOINT", "FAILPOINT_CLAIM"):
        monkeypatch.setenv(f"FASTAPI_JOBS_{name}", "x")
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "testing")
    load()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("BACKND", "Did you mean FASTAPI_JOBS_BACKEND?"),
        ("DATABASE_URI", "Did you mean FASTAPI_JOBS_DATABASE_URL?"),
        ("CELERY__BROKER", "Did you mean FASTAPI_JOBS_CELERY__BROKER_URL?"),
        ("CELERY_BROKER_URL", "Did you mean FASTAPI_JOBS_CELERY__BROKER_URL?"),
        (
            "ADMIN__XYZ",
            "Known in admin: enabled, session_seconds, users.",
        ),
        (
            "QUEUES__MAIL__LIMIT",
            "Known in queues.mail: backend, max_running, priority, paused, pool.",
        ),
    ],
)
def test_near_miss_is_an_error(
    name: str, cure: str, problems: Problems, monkeypatch: Variables
) -> None:
    monkeypatch.setenv(f"FASTAPI_JOBS_{name}", "secret")
    full = f"FASTAPI_JOBS_{name}"
    assert problems() == [f"{full} (variable {full}): there is no such setting. {cure}"]


def test_other_software_s_variables_are_told_of_once(
    monkeypatch: Variables, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fastapi_jobs.conf.variables._warned", set())
    for name in ("SERVICE_HOST", "PORT_8000_TCP_ADDR", "PORT"):
        monkeypatch.setenv(f"FASTAPI_JOBS_{name}", "x")
    with caplog.at_level(logging.WARNING, "fastapi_jobs"):
        assert isinstance(load(), Settings)
        load()
    assert caplog.messages == [
        "These variables begin with FASTAPI_JOBS_ but name no setting, and are ignored: "
        "FASTAPI_JOBS_PORT, FASTAPI_JOBS_PORT_8000_TCP_ADDR, FASTAPI_JOBS_SERVICE_HOST."
    ]


def test_token_that_cannot_be_read(problems: Problems, monkeypatch: Variables) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_RETRIES", "@int many")
    (complaint,) = problems()
    assert complaint.startswith(
        'retries = "@int many" (variable FASTAPI_JOBS_RETRIES): cannot be read: Cannot convert'
    )


def test_list_that_is_none(problems: Problems, monkeypatch: Variables) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_TASK_MODULES", "a.b,c.d")
    assert problems() == [
        'task_modules = "a.b,c.d" (variable FASTAPI_JOBS_TASK_MODULES): must be a list of texts. '
        'Write ["package.module"].'
    ]


def test_dynaconf_s_own_variables_change_nothing(home: Path, monkeypatch: Variables) -> None:
    (home / "settings.toml").write_text("[default.fastapi_jobs]\ntask_modules = ['a']\n")
    for name in ("MERGE_ENABLED_FOR_DYNACONF", "DYNACONF_MERGE_ENABLED"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("ENV_FOR_DYNACONF", "production")
    monkeypatch.setenv("FASTAPI_JOBS_TASK_MODULES", '["b"]')
    settings = load()
    assert (settings.task_modules, settings.environment) == (("b",), "development")
