"""run.py on an odd machine: an old Python, no server, a wrong word."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run

ROOT = Path(run.__file__).parent
SOURCE = (ROOT / "run.py").read_text()


def ask(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code that uses run.py in a Python of its own, with nothing else on PATH."""
    return subprocess.run(
        [sys.executable, "-c", f"import run\n{code}"],
        cwd=ROOT,
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python_can_read_it() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))


def test_it_needs_only_the_standard_library() -> None:
    nodes = list(ast.walk(ast.parse(SOURCE)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {*plain, *named} <= sys.stdlib_module_names


@pytest.mark.parametrize(("words", "code"), [(["help"], 0), (["tset"], 2), ([], 2)])
def test_a_wrong_word_gets_the_usage(words: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "run.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "python3 run.py demo" in done.stdout
    assert done.returncode == code


def test_a_machine_without_postgres_is_told_what_is_missing() -> None:
    done = ask("run.POSTGRES_FOLDERS = ()\nrun.VENV_PYTHON = '/nowhere'\nrun.obtain_postgres()")
    assert done.returncode == 1
    assert "run.py: A real PostgreSQL is needed. None was found" in done.stderr


def test_a_chosen_folder_without_postgres_is_refused(tmp_path: Path) -> None:
    chosen = {run.POSTGRES_BIN_VARIABLE: str(tmp_path)}
    done = ask("run.obtain_postgres()", **chosen)
    assert f"{run.POSTGRES_BIN_VARIABLE}={tmp_path} holds no initdb." in done.stderr


def test_a_machine_without_a_new_python_is_told_so(tmp_path: Path) -> None:
    code = f"run.VENV = {str(tmp_path)!r}\nrun.pythons = list\nrun.make_venv()"
    done = ask(code)
    assert done.returncode == 1
    assert "run.py: Python 3.11 or newer is needed" in done.stderr


def test_of_several_versions_the_newest_comes_first() -> None:
    assert run.newest(["/pg/9/bin", "/pg/18/bin", "/pg/15/bin"]) == [
        "/pg/18/bin",
        "/pg/15/bin",
        "/pg/9/bin",
    ]


def test_a_failing_check_stops_the_gate(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "called $*"\n[ "$3" != check ] || exit 3\n')
    python.chmod(0o755)
    done = ask(f"run.VENV_PYTHON = {str(python)!r}\nraise SystemExit(run.gate([]))")
    assert done.returncode == 3
    assert "called -m ruff format" in done.stdout
    assert "Stopped: ruff check . failed." in done.stdout
    assert "mypy" not in done.stdout


def test_an_installation_is_repeated_only_when_it_has_to_be(tmp_path: Path) -> None:
    for name in ("run.py", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    os.symlink(sys.executable, tmp_path / ".venv" / "bin" / "python")
    seen = [fingerprint(tmp_path, "test"), fingerprint(tmp_path, "test")]
    assert seen[0] == seen[1]
    seen.append(fingerprint(tmp_path, "demo"))
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    seen.append(fingerprint(tmp_path, "test"))
    assert len(set(seen)) == 3


def fingerprint(checkout: Path, extra: str) -> str:
    code = f"import run; print(run.fingerprint({extra!r}))"
    return subprocess.check_output([sys.executable, "-c", code], cwd=checkout, text=True)


def test_a_machine_without_a_browser_is_told_what_is_missing() -> None:
    done = ask("run.BROWSERS = ()\nrun.obtain_browser()")
    assert done.returncode == 1
    assert "run.py: The tests need a real Chromium or Chrome. None was found" in done.stderr


def test_a_chosen_browser_that_is_none_is_refused() -> None:
    done = ask("run.obtain_browser()", **{run.BROWSER_VARIABLE: "/nowhere"})
    assert f"{run.BROWSER_VARIABLE}=/nowhere does not start." in done.stderr


def test_a_machine_without_redis_is_told_what_is_missing() -> None:
    done = ask("run.obtain_redis()")
    assert done.returncode == 1
    assert "run.py: A real Redis is needed. No redis-server was found" in done.stderr


def test_a_redis_that_does_not_start_counts_as_none(tmp_path: Path) -> None:
    program(tmp_path, "redis-server", "exit 1")
    done = ask("run.obtain_redis()", PATH=str(tmp_path))
    assert "run.py: A real Redis is needed." in done.stderr


@pytest.mark.parametrize(("installer", "package"), [("apt-get", "redis-server"), ("brew", "redis")])
def test_redis_is_installed_where_it_is_missing(
    tmp_path: Path, installer: str, package: str
) -> None:
    made = tmp_path / "made"
    program(made, "redis-server", "exit 0")
    copy = f'cp -p "{made}"/redis-server "{tmp_path}"'
    program(tmp_path, installer, f'case "$*" in *"install"*" {package}") {copy} ;; esac')
    code = "run.os.geteuid = lambda: 0\nprint(run.obtain_redis())"
    done = ask(code, PATH=f"{tmp_path}:{tools(tmp_path)}")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "redis-server"), done.stderr


def test_a_machine_without_rabbitmq_is_told_what_is_missing() -> None:
    done = ask("run.obtain_rabbitmq()")
    assert done.returncode == 1
    assert "run.py: The tests need a real RabbitMQ. None was found" in done.stderr


@pytest.mark.parametrize(
    ("installer", "package"), [("apt-get", "rabbitmq-server"), ("brew", "rabbitmq")]
)
def test_rabbitmq_is_installed_and_its_service_stopped(
    tmp_path: Path, installer: str, package: str
) -> None:
    made, stopped = tmp_path / "made", tmp_path / "stopped"
    for name in ("erl", "epmd", "rabbitmq-server"):
        program(made, name, "exit 0")
    program(tmp_path, "systemctl", f'echo "$*" > "{stopped}"')
    copy = f'cp -p "{made}"/* "{tmp_path}"'
    program(tmp_path, installer, f'case "$*" in *"install"*" {package}") {copy} ;; esac')
    code = "run.os.geteuid = lambda: 0\nrun.RABBITMQ_SCRIPTS = ()\nprint(run.obtain_rabbitmq())"
    done = ask(code, PATH=f"{tmp_path}:{tools(tmp_path)}")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "rabbitmq-server"), done.stderr
    assert stopped.exists() == (installer == "apt-get")
    if installer == "apt-get":
        assert stopped.read_text() == "disable --now rabbitmq-server\n"


def tools(folder: Path) -> Path:
    """A folder for PATH with what the installers of these tests call, and no more."""
    made = folder / "tools"
    made.mkdir()
    for name in ("env", "cp"):
        os.symlink(str(shutil.which(name)), made / name)
    return made


def program(folder: Path, name: str, script: str) -> None:
    """Write a shell script that can be run by its name."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_demo_on_celery_gets_its_servers() -> None:
    code = (
        "run.prepare_environment = lambda extra: print('extra', extra)\n"
        "run.obtain_postgres, run.obtain_redis = lambda: '/pg/bin', lambda: '/redis-server'\n"
        "run.become = lambda command: sys.exit(' '.join(command[1:]))\n"
        "run.main(['demo', '--celery', '--port', '9000'])"
    )
    done = ask(f"import sys\n{code}")
    assert done.stdout == "extra cluster\n"
    assert done.stderr.strip() == (
        "-m example_project.cluster --postgres /pg/bin --redis /redis-server --port 9000"
    )
