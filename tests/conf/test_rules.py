"""Every rule: what it takes, and the sentence for what it does not."""

from datetime import timedelta
from typing import Any

import pytest

from fastapi_jobs.backends.celery_broker import make_celery
from fastapi_jobs.conf import load
from fastapi_jobs.conf.describe import from_json, to_json
from fastapi_jobs.conf.shape import known, known_keys
from tests.conf.conftest import Problems

WHOLE = "must be a whole number of at least 1."
WHOLE_OR_NONE = "must be a whole number of at least 1, or 0 for none."
WHOLE_OR_AUTOMATIC = "must be a whole number of at least 1, or 0 for automatic."
WHOLE_OR_CORES = "must be a whole number of at least 1, or 0 for one per core."
SECONDS = "must be a number of seconds above 0."
SECONDS_OR_ZERO = "must be a number of seconds not below 0."
PREFIX = "must begin with / and not end with it."
FLAG = "must be true or false."
BACKEND = (
    "must be asyncio, thread, process, celery or immediate, "
    'or the path of your own such as "package.module:Class".'
)
DATABASE = (
    "must be sqlite:///file or postgresql://user:password@host/database. "
    "Jobs are kept in SQLite or in PostgreSQL (with psycopg) only."
)
MEMORY = (
    "must name a file: a SQLite database in memory is lost with the process. "
    "Write sqlite:///jobs.db; in tests, a file in a temporary folder."
)
TIME = (
    'must be a time such as "7d", "12h", "30m", "45s" or a number of seconds, '
    "or 0 to keep for ever."
)
ZONE = "must be a time zone such as Europe/Vienna or UTC."
REDIS = 'must begin with redis://, rediss:// or unix://, or be "" for none.'
BROKER = 'must be a URL such as redis://host:6379/0, or be "" for none.'
PATHS = 'must list Python paths such as "package.module";'
TEXTS = "must be a list of texts."
OPTIONS = (
    "may list queue, priority, run_after, expires, tags, metadata, unique_key or backend; "
    "'tag' is none of them. Did you mean 'tags'?"
)
QUEUE_NAME = "a queue's name has 1 to 100 letters, digits, dots, dashes or underscores."
HASH = "must be the hash of a password, not the password. Make one: fastapi-jobs admin-password."
POOL = "must be prefork, threads or solo."


def nested(key: str, value: object) -> dict[str, Any]:
    top, *below = key.split(".")
    for name in reversed(below):
        value = {name: value}
    return {top: value}


@pytest.mark.parametrize(
    ("key", "value", "shown", "sentence"),
    [
        ("name", 3, "3", "must be a text. Put it in quotes."),
        ("backend", "celry", '"celry"', f"{BACKEND} Did you mean 'celery'?"),
        ("backend", "my.", '"my."', BACKEND),
        ("backend", 3, "3", BACKEND),
        ("backend", "", '""', BACKEND),
        ("database_url", "mysql://u:pw@h/d", '"mysql://u:***@h/d"', DATABASE),
        ("database_url", "sqlite://x.db", '"sqlite://x.db"', DATABASE),
        ("database_url", "jobs.db", '"jobs.db"', DATABASE),
        ("database_url", "", '""', DATABASE),
        ("database_url", 3, "3", DATABASE),
        ("database_url", "sqlite+aiosqlite:///x", '"sqlite+aiosqlite:///x"', DATABASE),
        ("database_url", "sqlite://", '"sqlite://"', MEMORY),
        ("database_url", "sqlite:///:memory:", '"sqlite:///:memory:"', MEMORY),
        ("durability", "ful", '"ful"', "must be full or normal. Did you mean 'full'?"),
        ("migrate", "maybe", '"maybe"', 'must be "auto", true or false.'),
        ("migrate", 2, "2", 'must be "auto", true or false.'),
        ("store_timeout", 0, "0", SECONDS),
        ("task_modules", "a.b", '"a.b"', f'{TEXTS} Write ["package.module"].'),
        ("task_modules", [3], "[3]", f'{TEXTS} Write ["package.module"].'),
        ("task_modules", ["a b"], '["a b"]', f"{PATHS} 'a b' is none."),
        ("dispatch", "maybe", '"maybe"', FLAG),
        ("freeze_heap", 2, "2", FLAG),
        ("gc_threshold", -1, "-1", "must be a whole number of at least 0."),
        ("strict_capabilities", 2, "2", FLAG),
        ("retries", -1, "-1", "must be a whole number of at least 0."),
        ("retries", 2.5, "2.5", "must be a whole number of at least 0."),
        ("retries", True, "true", "must be a whole number of at least 0."),
        ("timeout", -1, "-1", "must be a number of seconds above 0, or 0 for none."),
        ("timeout", "soon", '"soon"', "must be a number of seconds above 0, or 0 for none."),
        ("on_crash", "retry", '"retry"', "must be requeue or fail."),
        ("max_crashes", 0, "0", WHOLE),
        ("heartbeat_seconds", float("nan"), "nan", SECONDS),
        ("lease_seconds", float("inf"), "inf", SECONDS),
        ("poll_seconds", True, "true", SECONDS),
        ("shutdown_seconds", -0.5, "-0.5", SECONDS_OR_ZERO),
        ("max_payload", "1 MiB", '"1 MiB"', WHOLE),
        ("max_queued", -3, "-3", WHOLE_OR_NONE),
        ("timezone", "Europe/Wien", '"Europe/Wien"', f"{ZONE} Did you mean 'Europe/Vienna'?"),
        ("timezone", "../../etc/passwd", '"../../etc/passwd"', ZONE),
        ("redis_url", "redsi://:pw@h", '"redsi://:***@h"', REDIS),
        (
            "log_level",
            "debg",
            '"debg"',
            "must be DEBUG, INFO, WARNING, ERROR or CRITICAL. Did you mean 'DEBUG'?",
        ),
        ("log_format", "jsn", '"jsn"', "must be text or json. Did you mean 'json'?"),
        ("log_lifecycle", None, "none", FLAG),
        ("log_file", 3, "3", 'must be the name of a file, or "" for none.'),
        ("max_log_lines", -1, "-1", "must be a whole number of at least 0."),
        ("max_error_bytes", 10, "10", "must be a whole number of at least 256."),
        ("observers", [":x"], '[":x"]', f"{PATHS} ':x' is none."),
        ("api_prefix", "jobs/", '"jobs/"', f'{PREFIX} Write "/jobs".'),
        ("api_prefix", "", '""', PREFIX),
        ("api_open", "yes", '"yes"', FLAG),
        ("api_options", ["tag"], '["tag"]', OPTIONS),
        ("max_wait", -1, "-1", SECONDS_OR_ZERO),
        ("idempotency_ttl", 0, "0", SECONDS),
        ("admin_prefix", "/admin/", '"/admin/"', f'{PREFIX} Write "/admin".'),
        ("asyncio.max_running", 0, "0", WHOLE),
        ("thread.max_workers", "x", '"x"', WHOLE),
        ("process.max_workers", -1, "-1", WHOLE_OR_CORES),
        ("process.max_jobs_per_child", -1, "-1", WHOLE_OR_NONE),
        ("process.max_memory_mb", "lots", '"lots"', WHOLE_OR_NONE),
        ("process.kill_grace_seconds", -1, "-1", SECONDS_OR_ZERO),
        ("celery.broker_url", "redis", '"redis"', BROKER),
        ("celery.window", -1, "-1", WHOLE_OR_AUTOMATIC),
        ("celery.batch_seconds", -1, "-1", SECONDS_OR_ZERO),
        ("celery.pool", "thread", '"thread"', f"{POOL} Did you mean 'threads'?"),
        ("celery.concurrency", -1, "-1", WHOLE_OR_CORES),
        ("celery.options", 3, "3", "must be a table. Write [default.fastapi_jobs.celery.options]."),
        ("retention.succeeded", "7w", '"7w"', TIME),
        ("retention.failed", True, "true", TIME),
        ("retention.audit", "a year", '"a year"', TIME),
        ("retention.cancelled", "9" * 30 + "d", f'"{"9" * 30}d"', TIME),
        ("admin.enabled", [], "[]", FLAG),
        ("admin.session_seconds", 0, "0", SECONDS),
        ("admin.users", 3, "3", "must be a table. Write [default.fastapi_jobs.admin.users]."),
        ("admin.users.anna.password_hash", "secret", '"secret"', HASH),
        ("admin.users.anna.role", "boss", '"boss"', "must be viewer, operator or admin."),
        ("queues.mail.backend", "proces", '"proces"', f"{BACKEND} Did you mean 'process'?"),
        ("queues.mail.max_running", -1, "-1", WHOLE_OR_NONE),
        ("queues.mail.priority", 101, "101", "must be a whole number from -100 to 100."),
        ("queues.mail.paused", "x", '"x"', FLAG),
        ("queues.mail.pool", "x", '"x"', 'must be prefork, threads or solo, or "" for none.'),
        ("queues.a b", {}, '"a b"', QUEUE_NAME),
        ("routes.x", "a b", '"a b"', QUEUE_NAME),
        (
            "routes. ",
            "mail",
            '" "',
            'a route begins with a pattern of task names such as "billing.*".',
        ),
    ],
)
def test_broken_rule(
    key: str, value: object, shown: str, sentence: str, problems: Problems
) -> None:
    origin = f"FastAPIJobs({key.split('.')[0]}=…)"
    assert problems(**nested(key, value)) == [f"{key} = {shown} ({origin}): {sentence}"]


def test_every_key_has_a_broken_rule_above() -> None:
    (mark,) = test_broken_rule.pytestmark  # type: ignore[attr-defined]
    tried = {case[0] for case in mark.args[1]}
    leaves = {key for key in known_keys() if "." in key or not known().keys[key].is_table}
    assert leaves - tried == set()


@pytest.mark.parametrize(
    ("key", "value", "typed"),
    [
        ("backend", "Thread", "thread"),
        ("backend", "my.module:Backend", "my.module:Backend"),
        ("backend", "my.module.Backend", "my.module.Backend"),
        ("timeout", timedelta(minutes=1), 60.0),
        ("timeout", "2.5", 2.5),
        ("poll_seconds", 1, 1.0),
        ("shutdown_seconds", 0, 0.0),
        ("log_level", "debug", "DEBUG"),
        ("redis_url", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("observers", ["my.observers:Slack"], ("my.observers:Slack",)),
        ("task_modules", ["tasks"], ("tasks",)),
        ("api_prefix", "/api/jobs", "/api/jobs"),
        ("retention.failed", "12h", timedelta(hours=12)),
        ("retention.failed", "1.5 d", timedelta(hours=36)),
        ("retention.failed", "30m", timedelta(minutes=30)),
        ("retention.failed", "45s", timedelta(seconds=45)),
        ("retention.failed", 90, timedelta(seconds=90)),
        ("retention.failed", timedelta(days=2), timedelta(days=2)),
        ("retention.failed", 0, None),
        ("retention.failed", "", None),
        ("retention.failed", timedelta(0), None),
        ("celery.broker_url", "sentinel://h:1;sentinel://i:1", "sentinel://h:1;sentinel://i:1"),
        ("celery.broker_url", "memory://", "memory://"),
        ("celery.window", 0, 0),
        ("celery.window", "", 0),
        ("celery.window", 7, 7),
        ("process.max_memory_mb", 0, None),
        ("process.kill_grace_seconds", 0.5, 0.5),
    ],
)
def test_value_becomes_typed(key: str, value: object, typed: object) -> None:
    found: object = load(**nested(key, value))
    for name in key.split("."):
        found = getattr(found, name)
    assert found == typed
    assert type(found) is type(typed)


def test_workers_are_one_per_core_by_default() -> None:
    settings = load()
    assert settings.process.max_workers >= 1
    assert settings.celery.concurrency == settings.process.max_workers


def test_lease_must_outlast_two_beats(problems: Problems) -> None:
    assert problems(lease_seconds=9) == [
        "lease_seconds = 9 (FastAPIJobs(lease_seconds=…)): must be at least twice "
        "heartbeat_seconds = 5. Set lease_seconds = 10 or more, or a shorter heartbeat."
    ]
    assert load(lease_seconds=10).lease_seconds == 10


def test_api_and_admin_need_two_places(problems: Problems) -> None:
    assert problems(api_prefix="/jobs-admin") == [
        'admin_prefix = "/jobs-admin" (defaults.toml): must differ from api_prefix. '
        'Set admin_prefix = "/jobs-admin-admin".'
    ]


def test_celery_needs_a_broker(problems: Problems) -> None:
    cure = 'Set celery.broker_url = "redis://localhost:6379/0", or choose another backend.'
    assert problems(backend="celery", queues={"mail": {"backend": "celery"}}) == [
        f'celery.broker_url (FastAPIJobs(backend=…)): backend = "celery" needs a broker. {cure}',
        "celery.broker_url (FastAPIJobs(queues=…)): "
        f'queues.mail.backend = "celery" needs a broker. {cure}',
    ]
    assert load(backend="celery", celery={"broker_url": "redis://h"}).backend == "celery"


def test_a_broken_key_is_not_blamed_twice(problems: Problems) -> None:
    assert len(problems(backend="celery", celery={"broker_url": "x"})) == 1
    assert len(problems(heartbeat_seconds="x", lease_seconds=1)) == 1


PICKLE = 'must be ["json"]: pickle would let who reaches the broker run code. Remove it.'


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        (
            "worker_pool",
            "solo",
            'worker_pool = "solo": is not to be set for Celery. Set celery.pool.',
        ),
        ("accept_content", ["json", "yaml"], f'accept_content = ["json", "yaml"]: {PICKLE}'),
        ("accept_content", "pickle", f'accept_content = "pickle": {PICKLE}'),
        (
            "broker_transport_options",
            3,
            "broker_transport_options = 3: must be a table. "
            "Write [default.fastapi_jobs.celery.options.broker_transport_options].",
        ),
    ],
)
def test_what_celery_may_not_be_told(
    problems: Problems, option: str, value: object, sentence: str
) -> None:
    [said] = problems(celery={"options": {option: value}})
    assert said == "celery.options." + sentence.replace(": ", " (FastAPIJobs(celery=…)): ", 1)


def test_celery_is_told_its_options() -> None:
    options = {"worker_max_tasks_per_child": 7, "broker_transport_options": {"a": {"b": 1}}}
    settings = load(celery={"broker_url": "redis://h", "options": options})
    assert settings.celery.options == options
    origins = settings.origins
    assert origins["celery.options.broker_transport_options.a.b"] == "FastAPIJobs(celery=…)"
    assert load(settings, retries=1).celery.options == options
    assert from_json(to_json(settings)).celery.options == options
    told = make_celery(settings).conf
    assert told.worker_max_tasks_per_child == 7
    transport = told.broker_transport_options
    assert (transport["a"], transport["queue_order_strategy"]) == ({"b": 1}, "priority")
