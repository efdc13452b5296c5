"""What cannot work is refused in sentences, with an exit code and without a traceback."""

from pathlib import Path

import pytest

from fastapi_jobs.cli.commands import COMMANDS as COMMAND_TABLE
from fastapi_jobs.store.migrate import HEAD
from tests.cli.command import ROOT, Site
from tests.servers import free_port

COMMANDS = [["worker", "--app-dir", str(ROOT)], ["migrate"], ["list"]]


def refused(site: Site, *words: str, code: int = 2) -> str:
    """What the command said on stderr when it refused."""
    done = site.run(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("words", [*COMMANDS, ["settings"]], ids=str)
def test_every_problem_of_the_settings_is_said(sqlite_site: Site, words: list[str]) -> None:
    sqlite_site.write(backnd="thread", retries=-1)
    said = refused(sqlite_site, *words)
    assert said.startswith("2 problems in the settings:")
    assert "backnd" in said
    assert "Did you mean 'backend'?" in said
    assert "retries = -1 (settings.toml [default]): must be" in said


def test_check_finds_them_too(sqlite_site: Site) -> None:
    sqlite_site.write(backnd="thread", retries=-1)
    code, found = sqlite_site.check()
    assert code == 1
    assert list(found) == ["error settings"]
    assert len(found["error settings"]) == 2


def test_a_missing_settings_file_is_named(sqlite_site: Site) -> None:
    assert "other.toml" in refused(sqlite_site, "settings", "--settings", "other.toml")


def test_an_unknown_environment_is_refused(sqlite_site: Site) -> None:
    said = refused(sqlite_site, "worker", "--env", "prodction")
    assert '"prodction" (variable FASTAPI_JOBS_ENV): there is no table for it' in said


def test_an_unmigrated_postgresql_is_refused_until_it_is_migrated(
    tmp_path: Path, postgres_url: str
) -> None:
    site = Site(tmp_path, postgres_url)
    said = refused(site, "worker", "--app-dir", str(ROOT))
    assert f"is without our tables; this version needs {HEAD}" in said
    assert "Run: fastapi-jobs migrate" in said
    code, found = site.check()
    assert code == 1
    assert (
        f"has none of our tables; this version needs {HEAD}. Run: fastapi-jobs migrate"
        in (found["error migration"][0])
    )
    assert site.run("migrate").returncode == 0
    with site.worker():
        pass
    code, found = site.check()
    assert (code, "error migration" in found) == (0, False)


@pytest.mark.parametrize("words", COMMANDS, ids=str)
def test_a_database_that_does_not_answer_is_named_with_a_cure(
    tmp_path: Path, words: list[str]
) -> None:
    port = free_port()
    site = Site(tmp_path, f"postgresql://me:hush@127.0.0.1:{port}/jobs")
    said = refused(site, *words, code=3)
    assert said.startswith(
        f"The database postgresql+psycopg://me:***@127.0.0.1:{port}/jobs cannot be used now: "
    )
    assert "refused" in said
    assert "Does the server run, and is database_url right? It comes from settings.toml" in said
    assert "hush" not in said


def test_check_finds_a_database_that_does_not_answer(tmp_path: Path) -> None:
    code, found = Site(tmp_path, f"postgresql://me:hush@127.0.0.1:{free_port()}/jobs").check()
    assert code == 1
    assert "Does the server run" in found["error database"][0]
    assert "hush" not in str(found)


MISSING = "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')"
NOT_WHOLE = "raise ImportError('no pq wrapper available.\\nAttempts made:\\n- none')"


@pytest.mark.parametrize(
    ("package", "state"),
    [(MISSING, "is not installed."), (NOT_WHOLE, "cannot be imported: no pq wrapper available.")],
    ids=["missing", "not whole"],
)
def test_a_missing_driver_is_named_with_the_extra_to_install(
    tmp_path: Path, package: str, state: str
) -> None:
    site = Site(tmp_path, "postgresql://me:hush@127.0.0.1/jobs")
    (tmp_path / "psycopg.py").write_text(package)
    sentence = (
        "The database postgresql+psycopg://me:***@127.0.0.1/jobs needs the Python package "
        f"'psycopg', which {state} For PostgreSQL: pip install \"fastapi-jobs[postgres]\""
    )
    for words in COMMANDS:
        done = site.run(*words, PYTHONPATH=str(tmp_path))
        assert (done.returncode, done.stderr.strip()) == (2, sentence), words
    code, found = site.check(PYTHONPATH=str(tmp_path))
    assert (code, found["error database"]) == (1, [sentence])


@pytest.mark.parametrize("words", COMMANDS, ids=str)
def test_a_sqlite_file_that_cannot_be_made(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "file").touch()
    site = Site(tmp_path, f"sqlite:///{tmp_path}/file/jobs.db")
    assert str(tmp_path / "file") in refused(site, *words)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("not a database, but long enough to be looked at" * 100)
    site = Site(tmp_path, f"sqlite:///{tmp_path}/jobs.db")
    assert "file is not a database" in refused(site, "worker", "--app-dir", str(ROOT), code=3)
    code, found = site.check()
    assert code == 1
    assert "file is not a database" in found["error database"][0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import no_such_package", "Is the package of 'no_such_package' installed here?"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            "from fastapi_jobs import task\n@task(retries=-1)\ndef f() -> None: ...",
            "retries",
        ),
    ],
)
def test_a_task_module_that_cannot_be_imported(sqlite_site: Site, text: str, sentence: str) -> None:
    (sqlite_site.folder / "broken.py").write_text(text)
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["broken", "brokn.tasks", "zzz"])
    said = refused(sqlite_site, "worker")
    assert "task module 'broken' (settings.toml [default]) cannot be imported: " in said
    assert sentence in said
    assert "task module 'brokn.tasks'" in said
    assert "No module named 'brokn'. Did you mean 'broken'?" in said
    assert "run in your app's folder" in said
    code, found = sqlite_site.check("--app-dir", ".")
    assert code == 1
    assert len(found["error task-module"]) == 3


@pytest.mark.parametrize(
    ("modules", "sentence"), [([], "names no module"), (["empty"], "holds no @task")]
)
def test_a_worker_without_tasks(sqlite_site: Site, modules: list[str], sentence: str) -> None:
    (sqlite_site.folder / "empty.py").touch()
    sqlite_site.write(database_url=sqlite_site.url, task_modules=modules)
    said = refused(sqlite_site, "worker")
    assert said.startswith("No task is registered: task_modules (")
    assert sentence in said
    assert 'task_modules = ["my_app.tasks"]' in said


def test_misspelt_words_get_the_nearest(sqlite_site: Site) -> None:
    assert "Did you mean 'worker'?" in refused(sqlite_site, "wroker")
    assert "--queue" in refused(sqlite_site, "worker", "--queu", "x")
    assert "Did you mean 'thread'?" in refused(sqlite_site, "worker", "--backend", "thred")


def test_help_names_every_command(sqlite_site: Site) -> None:
    done = sqlite_site.run("--help")
    assert done.returncode == 0
    for name in COMMAND_TABLE:
        assert f" {name} " in done.stdout
    assert sqlite_site.run("--version").stdout.startswith("fastapi-jobs ")
