"""`--help` loads nothing heavy, and Tab offers commands, tasks, queues and statuses."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from fastapi_jobs.cli.commands import COMMANDS, PACKAGE
from tests.cli.command import ROOT, Site

HEAVY = (
    *("fastapi", "starlette", "sqlmodel", "sqlalchemy", "pydantic", "dynaconf", "rich", "alembic"),
    *("celery", "redis", "asyncio", "importlib.metadata", "fastapi_jobs.models"),
)

CODE = """
import sys
from fastapi_jobs.cli import main
sys.argv = ["fastapi-jobs", *{words!r}]
try:
    main()
except SystemExit as end:
    print("code", end.code)
print("loaded", *(name for name in {heavy!r} if name in sys.modules))
"""


def run(*words: str) -> list[str]:
    """What the command line printed, then its exit code and the heavy modules it loaded."""
    code = CODE.format(words=words, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2)], ids=str)
def test_help_loads_nothing_heavy(words: list[str], code: int) -> None:
    *_, ended, loaded = run(*words)
    assert ended == f"code {code}"
    assert loaded == "loaded"


def test_what_a_command_needs_would_be_seen() -> None:
    assert "sqlalchemy" in run("list", "--help")[-1].split()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there_as_help_says(name: str) -> None:
    entry = COMMANDS[name]
    function = getattr(import_module(f"{PACKAGE}.{entry.module}"), entry.function)
    documented = (inspect.getdoc(function) or "").splitlines()[0]
    assert documented.startswith(entry.summary.rstrip(".")), "the table and the docstring differ"


def offered(site: Site, line: str, folder: str = str(ROOT)) -> list[str]:
    """What bash is offered at the end of `line`."""
    words = line.split(" ")
    done = site.run(
        _TYPER_COMPLETE_ARGS=line,
        _FASTAPI_JOBS_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
        PYTHONPATH=folder,
    )
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def test_completion(sqlite_site: Site) -> None:
    assert offered(sqlite_site, "fastapi-jobs ex") == ["explain"]
    assert offered(sqlite_site, "fastapi-jobs enqueue tests.cli.work.a") == ["tests.cli.work.add"]
    assert offered(sqlite_site, "fastapi-jobs pause ") == ["default", "mail"]
    assert offered(sqlite_site, "fastapi-jobs list --status s") == ["scheduled", "succeeded"]
    assert offered(sqlite_site, "fastapi-jobs list --queue m") == ["mail"]


def test_completion_is_silent_where_something_is_wrong(sqlite_site: Site) -> None:
    sqlite_site.write(backnd="thread")
    assert offered(sqlite_site, "fastapi-jobs enqueue tests") == []
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["nowhere"])
    assert offered(sqlite_site, "fastapi-jobs enqueue tests") == []
    (sqlite_site.folder / "jobs.db").write_text("no database" * 1000)
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["tests.cli.work"])
    assert offered(sqlite_site, "fastapi-jobs pause m") == ["mail"]
