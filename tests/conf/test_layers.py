"""Which value wins, where it came from, and what its file names are relative to."""

from datetime import timedelta
from pathlib import Path

import pytest

from fastapi_jobs.conf import QueueSettings, load
from tests.conf.conftest import Problems, Write

EVERYWHERE = """
[default.fastapi_jobs]
{default}
[production.fastapi_jobs]
{production}
"""


def test_every_layer_wins_over_the_one_before(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    seen = []
    write(EVERYWHERE.format(default="", production=""))
    seen.append((load().name, load().origins["name"]))
    write(EVERYWHERE.format(default='name = "1"', production=""))
    seen.append((load().name, load().origins["name"]))
    write(EVERYWHERE.format(default='name = "1"', production='name = "2"'))
    seen.append((load().name, load().origins["name"]))
    write('[default.fastapi_jobs]\nname = "3"\n', ".secrets.toml")
    seen.append((load().name, load().origins["name"]))
    write(EVERYWHERE.format(default='name = "3"', production='name = "4"'), ".secrets.toml")
    seen.append((load().name, load().origins["name"]))
    monkeypatch.setenv("FASTAPI_JOBS_NAME", "5")
    seen.append((load().name, load().origins["name"]))
    keyword = load(name="6")
    seen.append((keyword.name, keyword.origins["name"]))
    assert seen == [
        ("", "defaults.toml"),
        ("1", "settings.toml [default]"),
        ("2", "settings.toml [production]"),
        ("3", ".secrets.toml [default]"),
        ("4", ".secrets.toml [production]"),
        ("5", "variable FASTAPI_JOBS_NAME"),
        ("6", "FastAPIJobs(name=…)"),
    ]


def test_tables_merge_and_lists_replace(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    write(
        """
        [default.fastapi_jobs]
        task_modules = ["a", "b"]
        [default.fastapi_jobs.queues.mail]
        backend = "thread"
        max_running = 2
        [default.fastapi_jobs.routes]
        "mail.*" = "mail"
        [production.fastapi_jobs]
        task_modules = ["c"]
        [production.fastapi_jobs.queues.mail]
        max_running = 9
        [production.fastapi_jobs.queues.other]
        [production.fastapi_jobs.routes]
        "x" = "other"
        """
    )
    settings = load(queues={"mail": {"paused": True}})
    assert settings.task_modules == ("c",)
    assert settings.queues == {
        "mail": QueueSettings(backend="thread", max_running=9, paused=True),
        "other": QueueSettings(),
    }
    assert settings.routes == {"mail.*": "mail", "x": "other"}
    assert settings.origins["queues.mail.backend"] == "settings.toml [default]"
    assert settings.origins["queues.mail.max_running"] == "settings.toml [production]"
    assert settings.origins["queues.mail.paused"] == "FastAPIJobs(queues=…)"
    assert settings.origins["queues.mail.priority"] == "defaults.toml"
    assert settings.asyncio.max_running == 100


def test_a_later_layer_can_say_none(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    write(
        EVERYWHERE.format(
            default='timeout = 5\nredis_url = "redis://h"\nmax_queued = 3',
            production='timeout = 0\nredis_url = ""\nmax_queued = 0',
        )
    )
    settings = load()
    assert (settings.timeout, settings.redis_url, settings.max_queued) == (None, None, None)


def test_keys_are_read_in_any_case_and_names_as_written(write: Write) -> None:
    write(
        "[default.FastAPI_Jobs]\nRetries = 3\n[default.FastAPI_Jobs.Queues.Mail]\nPaused = true\n"
    )
    settings = load()
    assert settings.retries == 3
    assert list(settings.queues) == ["Mail"]


def test_database_is_relative_to_the_file_that_sets_it(
    write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[default.fastapi_jobs]\ndatabase_url = "sqlite:///data/x.db?timeout=3"\n')
    (home / "sub").mkdir()
    monkeypatch.chdir(home / "sub")
    assert load().database_url == f"sqlite:///{home}/data/x.db?timeout=3"
    assert load(database_url="sqlite:///x.db").database_url == f"sqlite:///{home}/sub/x.db"
    monkeypatch.setenv("FASTAPI_JOBS_DATABASE_URL", "sqlite:///y.db")
    assert load().database_url == f"sqlite:///{home}/sub/y.db"


def test_absolute_and_postgresql_urls_stay(home: Path) -> None:
    assert load(database_url="sqlite:////var/x.db").database_url == "sqlite:////var/x.db"
    url = "postgresql+psycopg://u:p@h/d"
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert load(database_url=f"{scheme}://u:p@h/d").database_url == url


def test_log_file_is_relative_to_the_file_that_sets_it(write: Write, home: Path) -> None:
    path = write('[default.fastapi_jobs]\nlog_file = "logs/jobs.log"\n', "conf/jobs.toml")
    assert load(path).log_file == home / "conf/logs/jobs.log"
    assert load(path, log_file="").log_file is None
    assert load(path, log_file=Path("x.log")).log_file == home / "x.log"
    assert load(path, log_file=None).log_file is None


def test_secret_of_a_file_at_every_layer(
    write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = write("postgresql://u:of-file@h/d\n", "conf/secret")
    write("redis://:variable@h\n", "of-variable")
    write("redis://:keyword@h\n", "of-keyword")
    path = write('[default.fastapi_jobs]\ndatabase_url_file = "secret"\n', "conf/jobs.toml")
    monkeypatch.setenv("FASTAPI_JOBS_REDIS_URL_FILE", "of-variable")
    settings = load(path, celery={"broker_url_file": home / "of-keyword"})
    assert settings.database_url == "postgresql+psycopg://u:of-file@h/d"
    assert settings.redis_url == "redis://:variable@h"
    assert settings.celery.broker_url == "redis://:keyword@h"
    assert settings.origins["database_url"] == f"{path} [default], file {secret}"
    assert "database_url_file" not in settings.origins


def test_a_later_key_wins_over_an_earlier_secret_file(write: Write) -> None:
    write("redis://file", "secret")
    write('[default.fastapi_jobs]\nredis_url_file = "secret"\n')
    assert load(redis_url="redis://keyword").redis_url == "redis://keyword"


def test_number_of_a_file(write: Write) -> None:
    write("7\n", "secret")
    assert load(retries_file="secret").retries == 7


def test_secret_file_that_cannot_be_used(write: Write, home: Path, problems: Problems) -> None:
    write("", "empty")
    write(
        '[default.fastapi_jobs]\ndatabase_url_file = "nope"\n'
        'redis_url_file = "x"\nredis_url = "redis://h"\n'
        '[default.fastapi_jobs.celery]\nbroker_url_file = "empty"\n'
    )
    origin = "(settings.toml [default])"
    assert problems() == [
        f'database_url_file = "nope" {origin}: {home / "nope"} cannot be read: '
        "No such file or directory. Name a file that holds the value.",
        f'redis_url_file = "x" {origin}: {home / "x"} cannot be read: '
        "No such file or directory. Name a file that holds the value.",
        f"redis_url {origin}: cannot be set beside redis_url_file. Keep one of the two.",
        f'celery.broker_url_file = "empty" {origin}: {home / "empty"} is empty. '
        "Write the value into it, or remove the key.",
    ]


def test_key_and_its_file_at_one_place(
    write: Write, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("redis://h", "secret")
    cure = "Keep one of the two."
    assert problems(redis_url="redis://h", redis_url_file="secret") == [
        f"redis_url_file (FastAPIJobs(redis_url_file=…)): cannot be set beside redis_url. {cure}"
    ]
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__BROKER_URL", "redis://h")
    monkeypatch.setenv("FASTAPI_JOBS_CELERY__BROKER_URL_FILE", "secret")
    assert problems() == [
        "celery.broker_url_file (variable FASTAPI_JOBS_CELERY__BROKER_URL_FILE): "
        f"cannot be set beside celery.broker_url. {cure}"
    ]


def test_value_where_its_file_belongs(problems: Problems) -> None:
    assert problems(redis_url_file="redis://:secret@h") == [
        "redis_url_file (FastAPIJobs(redis_url_file=…)): must be the name of a file that holds "
        "the value. The value itself goes to redis_url."
    ]


def test_a_table_cannot_come_from_a_secret_file(problems: Problems) -> None:
    (complaint,) = problems(celery_file="x")
    assert complaint.startswith("celery_file (FastAPIJobs(celery_file=…)): there is no such")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {"backnd": "x"},
            "backnd (FastAPIJobs(backnd=…)): there is no such setting. Did you mean 'backend'?",
        ),
        (
            {"broker_url": "redis://:hidden@h"},
            "broker_url (FastAPIJobs(broker_url=…)): there is no such setting. "
            "Did you mean 'celery.broker_url'?",
        ),
        (
            {"process": {"max_worker": 3}},
            "process.max_worker (FastAPIJobs(process=…)): there is no such setting. "
            "Did you mean 'process.max_workers'?",
        ),
        (
            {"retention": {"lost": 3}},
            "retention.lost (FastAPIJobs(retention=…)): there is no such setting. "
            "Known in retention: succeeded, failed, cancelled, audit.",
        ),
        (
            {"queues": {"mail": {"max_runing": 3}}},
            "queues.mail.max_runing (FastAPIJobs(queues=…)): there is no such setting. "
            "Did you mean 'queues.mail.max_running'?",
        ),
        ({"xyzzy": 3}, "xyzzy (FastAPIJobs(xyzzy=…)): there is no such setting."),
        (
            {"asyncio": 3},
            "asyncio = 3 (FastAPIJobs(asyncio=…)): must be a table. "
            "Write [default.fastapi_jobs.asyncio].",
        ),
    ],
)
def test_unknown_keyword(overrides: dict[str, object], sentence: str, problems: Problems) -> None:
    assert problems(**overrides) == [sentence]


def test_unknown_key_of_a_file(write: Write, problems: Problems) -> None:
    write("[default.fastapi_jobs]\nretrys = 3\n")
    assert problems() == [
        "retrys (settings.toml [default]): there is no such setting. Did you mean 'retries'?"
    ]


def test_every_problem_is_told_at_once(
    write: Write, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_RETRIES", "many")
    write("[default.fastapi_jobs]\nlease_seconds = 4\nbackend = 'celry'\nretrys = 3\n")
    told = problems(poll_seconds=-1, timezone="Mars")
    assert [complaint.split(" ")[0] for complaint in told] == [
        "retrys",
        "backend",
        "retries",
        "poll_seconds",
        "timezone",
        "lease_seconds",
    ]


def test_given_settings_are_changed_in_a_copy(write: Write) -> None:
    write(
        "[default.fastapi_jobs]\nretries = 3\n[default.fastapi_jobs.queues.mail]\nmax_running = 3\n"
    )
    first = load()
    second = load(first, name="x", queues={"mail": QueueSettings(paused=True)})
    assert load(first) is first
    assert (first.name, second.name, second.retries) == ("", "x", 3)
    assert second.queues["mail"] == QueueSettings(max_running=3, paused=True)
    assert second.files == first.files
    assert second.origins["retries"] == "settings.toml [default]"
    assert second.origins["name"] == "FastAPIJobs(name=…)"
    assert second.retention.succeeded == timedelta(days=7)
