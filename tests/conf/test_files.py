"""Which files are read, and which environment is active."""

from pathlib import Path

import pytest

from fastapi_jobs.conf import load
from tests.conf.conftest import Problems, Write

TWO_ENVIRONMENTS = """
[default.fastapi_jobs]
name = "default"
[production.fastapi_jobs]
name = "production"
"""


def test_without_a_file_the_shipped_values_hold(home: Path) -> None:
    settings = load()
    assert settings.files == ()
    assert settings.environment == "development"
    assert settings.backend == "asyncio"
    assert settings.database_url == f"sqlite:///{home / 'jobs.db'}"


def test_file_of_the_working_folder(write: Write) -> None:
    path = write(TWO_ENVIRONMENTS)
    settings = load()
    assert (settings.name, settings.files) == ("default", (path,))


def test_file_of_a_parent(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(TWO_ENVIRONMENTS)
    (home / "a/b").mkdir(parents=True)
    monkeypatch.chdir(home / "a/b")
    settings = load()
    assert settings.name == "default"
    assert settings.origins["name"] == f"{path} [default]"
    assert settings.database_url == f"sqlite:///{home / 'jobs.db'}"


def test_nearest_file_alone_is_read(
    write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[default.fastapi_jobs]\nretries = 9\n")
    near = write(TWO_ENVIRONMENTS, "a/settings.toml")
    monkeypatch.chdir(home / "a")
    settings = load()
    assert (settings.files, settings.retries) == ((near,), 0)


def test_secrets_lie_beside_or_below_the_settings(
    write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[default.fastapi_jobs]\nname = "too far up"\n', "../.secrets.toml")
    first = write(TWO_ENVIRONMENTS)
    assert load().files == (first,)
    second = write('[default.fastapi_jobs]\nname = "secret"\n', "a/.secrets.toml")
    monkeypatch.chdir(home / "a")
    assert load().files == (first, second)
    assert load().name == "secret"


def test_secrets_alone(write: Write) -> None:
    path = write('[default.fastapi_jobs]\nname = "secret"\n', ".secrets.toml")
    settings = load()
    assert (settings.name, settings.files) == ("secret", (path,))


def test_named_file_brings_the_secrets_beside_it(write: Write, home: Path) -> None:
    write('[default.fastapi_jobs]\nname = "not this"\n')
    named = write(TWO_ENVIRONMENTS, "conf/jobs.toml")
    secrets = write("[default.fastapi_jobs]\nretries = 4\n", "conf/.secrets.toml")
    for settings in (load(named), load("conf/jobs.toml"), load(str(named))):
        assert settings.files == (named, secrets)
        assert (settings.name, settings.retries) == ("default", 4)
    assert load(secrets).files == (secrets,)


def test_variable_names_a_file_and_the_argument_wins(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(TWO_ENVIRONMENTS)
    write('[default.fastapi_jobs]\nname = "other"\n', "other.toml")
    write('[default.fastapi_jobs]\nname = "third"\n', "third.toml")
    monkeypatch.setenv("FASTAPI_JOBS_SETTINGS_MODULE", "other.toml")
    assert load().name == "other"
    assert load("third.toml").name == "third"


def test_dotted_module(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        "DEFAULT = {'fastapi_jobs': {'name': 'module', 'retries': 1}}\n"
        "PRODUCTION = {'fastapi_jobs': {'retries': 2}}\n"
        "lower = OTHER = 3\n",
        "conf_of_host/jobs.py",
    )
    write('[default.fastapi_jobs]\ntimezone = "Asia/Tokyo"\n', "conf_of_host/.secrets.toml")
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("FASTAPI_JOBS_SETTINGS_MODULE", "conf_of_host.jobs")
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    settings = load()
    assert settings.files[0] == path
    assert (settings.name, settings.retries, settings.timezone) == ("module", 2, "Asia/Tokyo")


def test_environment_of_the_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(TWO_ENVIRONMENTS)
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "Production")
    settings = load()
    assert (settings.environment, settings.name) == ("production", "production")
    assert settings.origins["name"] == "settings.toml [production]"


@pytest.mark.parametrize("environment", ["development", "testing"])
def test_two_environments_need_no_table(
    environment: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", environment)
    assert load().environment == environment
    write(TWO_ENVIRONMENTS)
    assert load().environment == environment


def test_environment_without_a_table(
    write: Write, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "prodution")
    write(TWO_ENVIRONMENTS)
    assert problems() == [
        'environment = "prodution" (variable FASTAPI_JOBS_ENV): there is no table for it in '
        "settings.toml; known environments are development, production, testing. "
        "Did you mean 'production'?"
    ]


def test_environment_without_any_file(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "live")
    assert problems() == [
        'environment = "live" (variable FASTAPI_JOBS_ENV): there is no settings.toml here or above '
        "that has a table for it; known environments are development, testing. "
        "Write one with [live.fastapi_jobs], or name it in FASTAPI_JOBS_SETTINGS_MODULE."
    ]


def test_table_of_the_secrets_makes_an_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(TWO_ENVIRONMENTS)
    write("[staging.fastapi_jobs]\nretries = 3\n", ".secrets.toml")
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "staging")
    assert load().retries == 3


def test_the_rest_of_the_host_s_file_is_its_own(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('title = "x"\n[default]\nbackend = 3\n[production]\nlogo = "@format {env[NO]}"\n')
    monkeypatch.setenv("FASTAPI_JOBS_ENV", "production")
    assert load().backend == "asyncio"


def test_no_other_file_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(TWO_ENVIRONMENTS)
    for name in ("settings.local.toml", "settings.yaml", ".env", "settings.json"):
        write("[default.fastapi_jobs]\nretries = 7\n", name)
    assert load().retries == 0


def test_dynaconf_s_tokens(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_NAME", "box")
    write(
        '[default.fastapi_jobs]\nname = "@format jobs-{env[HOST_NAME]}"\nretries = "@int 3"\n'
        '[default.fastapi_jobs.routes]\n"a.*" = "@format {env[HOST_NAME]}"\n'
    )
    settings = load()
    assert (settings.name, settings.retries, settings.route("a.b")) == ("jobs-box", 3, "box")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[default", "settings file (settings.toml): the file is not valid: Expected ']'"),
        (
            '[default.fastapi_jobs]\nretries = "@int x"\n',
            "settings file (settings.toml): the file is not valid: Cannot convert 'x' to integer",
        ),
        (
            "[fastapi_jobs]\nretries = 3\n",
            "settings file (settings.toml): [fastapi_jobs]: a table belongs to an environment. "
            "Write [default.fastapi_jobs].",
        ),
        (
            "[default.fastapi_job]\nretries = 3\n",
            "settings file (settings.toml): [default.fastapi_job]: our table is fastapi_jobs. "
            "Did you mean 'fastapi_jobs'?",
        ),
        (
            "[default]\nfastapi_jobs = 3\n",
            "settings file (settings.toml): fastapi_jobs in [default] must be a table.",
        ),
    ],
)
def test_file_that_cannot_be_used(
    text: str, sentence: str, write: Write, problems: Problems
) -> None:
    write(text)
    (complaint,) = problems()
    assert complaint.startswith(sentence)


def test_file_that_is_not_text(home: Path, problems: Problems) -> None:
    (home / "settings.toml").write_bytes(b"\xff\xfe\x00")
    assert problems() == ["settings file (settings.toml): the file is not UTF-8 text."]


def test_named_file_that_is_not_there(write: Write, home: Path, problems: Problems) -> None:
    write(TWO_ENVIRONMENTS)
    assert problems("setings.toml") == [
        "settings file = \"setings.toml\" (FastAPIJobs('setings.toml')): "
        f"{home / 'setings.toml'} does not exist. Did you mean 'settings.toml'?"
    ]


def test_variable_that_names_a_folder_or_no_toml(
    write: Write, home: Path, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(TWO_ENVIRONMENTS)
    write("", "settings.yaml")
    monkeypatch.setenv("FASTAPI_JOBS_SETTINGS_MODULE", str(home))
    assert problems() == [
        f'settings file = "{home}" (variable FASTAPI_JOBS_SETTINGS_MODULE): this is a folder. '
        f"Name the file: {home / 'settings.toml'}."
    ]
    monkeypatch.setenv("FASTAPI_JOBS_SETTINGS_MODULE", "settings.yaml")
    assert problems() == [
        'settings file = "settings.yaml" (variable FASTAPI_JOBS_SETTINGS_MODULE): this is not a '
        "TOML file. Name a .toml file, or a Python module by its dotted name."
    ]


def test_module_that_cannot_be_imported(problems: Problems) -> None:
    assert problems("no_such_package.jobs") == [
        "settings file = \"no_such_package.jobs\" (FastAPIJobs('no_such_package.jobs')): "
        "the module cannot be imported: No module named 'no_such_package'. "
        "Give the path of a .toml file, or the dotted name of a Python module."
    ]
