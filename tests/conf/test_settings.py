"""The typed object: frozen, discreet, and able to say where a task and a queue stand."""

from typing import Any

import pytest
from pydantic import ValidationError

from fastapi_jobs.conf import QueueSettings, Settings, describe, from_json, load, origins, to_json
from fastapi_jobs.conf.urls import hide_password
from tests.conf.conftest import Write

SECRET = "p@ss/w:rd"
WITH_SECRETS: dict[str, Any] = {
    "database_url": f"postgresql://user:{SECRET}@host/jobs",
    "redis_url": f"redis://:{SECRET}@host:6379/0",
    "celery": {"broker_url": f"amqp://user:{SECRET}@host//"},
}


def test_settings_are_frozen() -> None:
    settings: Any = load(queues={"mail": {}}, routes={"a": "mail"})
    for table, key in (
        (settings, "retries"),
        (settings.asyncio, "max_running"),
        (settings.queues["mail"], "paused"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(table, key, 3)
    for mapping in (settings.queues, settings.routes, settings.origins):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping["other"] = "x"


def test_passwords_are_hidden_from_repr_and_describe() -> None:
    settings = load(**WITH_SECRETS)
    assert SECRET in settings.database_url
    shown = {line.key: line.value for line in describe(settings)}
    for text in (repr(settings), str(settings), repr(settings.celery), str(shown)):
        assert "rd@" not in text
        assert "p@ss" not in text
    assert shown["database_url"] == '"postgresql+psycopg://user:***@host/jobs"'
    assert shown["redis_url"] == '"redis://:***@host:6379/0"'
    assert shown["celery.broker_url"] == '"amqp://user:***@host//"'


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://u:pw@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=pw&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("postgresql://h/d?sslpassword=pw", "postgresql://h/d?sslpassword=***"),
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("redis://:p w@h", "redis://:***@h"),
        ("no URL at all: x@y", "no URL at all: x@y"),
    ],
)
def test_hide_password(text: str, hidden: str) -> None:
    assert hide_password(text) == hidden


def test_describe_names_every_key_with_its_origin(write: Write) -> None:
    write(
        "[default.fastapi_jobs]\nretries = 3\n[default.fastapi_jobs.queues.mail]\npaused = true\n"
    )
    settings = load(timeout=2.5, retention={"failed": "90m"}, routes={"a.*": "mail"})
    lines = {line.key: (line.value, line.origin) for line in describe(settings)}
    assert lines["retries"] == ("3", "settings.toml [default]")
    assert lines["timeout"] == ("2.5", "FastAPIJobs(timeout=…)")
    assert lines["retention.failed"] == ('"90m"', "FastAPIJobs(retention=…)")
    assert lines["retention.succeeded"] == ('"7d"', "defaults.toml")
    assert lines["idempotency_ttl"] == ("86400", "defaults.toml")
    assert lines["max_queued"] == ("none", "defaults.toml")
    assert lines["dispatch"] == ("true", "defaults.toml")
    assert lines["api_options"] == ('["run_after", "tags"]', "defaults.toml")
    assert lines["queues.mail.paused"] == ("true", "settings.toml [default]")
    assert lines["queues.mail.backend"] == ("none", "defaults.toml")
    assert lines["routes.a.*"] == ('"mail"', "FastAPIJobs(routes=…)")
    assert set(lines) == set(origins(settings))


def test_a_child_gets_equal_settings(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("[production.fastapi_jobs]\nretries = 3\n")
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    settings = load(
        **WITH_SECRETS,
        queues={"mail.fast": {"max_running": 3}},
        routes={"a.*": "mail.fast"},
        log_file="x.log",
        retention={"failed": 0.1, "succeeded": "36500d", "cancelled": 0},
        migrate=True,
        task_modules=["a", "b"],
    )
    monkeypatch.setenv("FASTAPI_JOBS_RETRIES", "4")
    path.unlink()
    copy = from_json(to_json(settings))
    assert copy == settings
    assert copy.model_dump() == settings.model_dump()
    assert SECRET in copy.database_url
    assert (copy.environment, copy.files) == ("production", (path,))
    assert copy.origins == settings.origins


def test_undeclared_queue_has_the_defaults() -> None:
    settings = load(queues={"mail": {"max_running": 3, "priority": -5, "pool": "solo"}})
    assert settings.queue("mail") == QueueSettings(max_running=3, priority=-5, pool="solo")
    assert settings.queue("other") == QueueSettings()


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("shop.billing.charge", "charge"),
        ("shop.billing.refund", "money"),
        ("shop.mail.send", "shop"),
        ("shop.mail.s2", "shop"),
        ("blog.post", None),
        ("SHOP.mail", None),
        ("exact", "exact"),
    ],
)
def test_longest_route_wins(task: str, queue: str | None) -> None:
    settings = load(
        routes={
            "shop.*": "shop",
            "shop.billing.charge": "charge",
            "shop.billing.*": "money",
            "e[x]act": "pattern",
            "exact": "exact",
        }
    )
    assert settings.route(task) == queue


def test_settings_are_made_by_load_only() -> None:
    with pytest.raises(ValidationError):
        Settings()  # type: ignore[call-arg]
