"""The README's "Growing to many servers": its settings, commands and files are tried."""

import configparser
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastapi_jobs.cli.commands import COMMANDS
from fastapi_jobs.conf import Settings, load
from fastapi_jobs.conf.rules import check_duration
from tests.readme import README, blocks, lay_out
from tests.servers import wait_until

LIMIT = 120.0
PROGRAM = Path(sys.executable).with_name("fastapi-jobs")


def block(language: str) -> str:
    """The block of this language in the section."""
    before, heading, rest = README.read_text("utf-8").partition("## Growing to many servers\n")
    first = (before + heading).count("\n")
    last = first + rest.partition("\n## ")[0].count("\n")
    [found] = [each.text for each in blocks(language) if first < each.line <= last]
    return found


def commands() -> list[str]:
    """The lines of the section that call our program."""
    lines = [line.partition(" #")[0].strip() for line in block("bash").splitlines()]
    return [line for line in lines if "fastapi-jobs" in line]


class Shop:
    """The folder of the five minutes with these settings, and servers that are there."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        lay_out(folder, README)
        (folder / "settings.toml").write_text(block("toml"))
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "NO_COLOR": "1", **variables}

    def run(self, line: str) -> str:
        """Run a line to its end; what it printed."""
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, line: str) -> Iterator[None]:
        """Start a worker by its line; inside, it takes messages."""
        log = self.folder / f"{len(line)}.log"
        with log.open("wb") as file:
            worker = subprocess.Popen(
                ["/bin/sh", "-c", line.replace("fastapi-jobs", "exec fastapi-jobs")],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=file,
            )

        def is_ready() -> bool:
            assert worker.poll() is None, log.read_text()
            return " ready." in log.read_text()

        try:
            wait_until(is_ready, LIMIT, log.read_text)
            yield
        finally:
            worker.terminate()
            with suppress(subprocess.TimeoutExpired):
                worker.wait(LIMIT)
            worker.kill()


@pytest.fixture
def shop(tmp_path: Path, postgres_url: str, redis_url: str) -> Shop:
    """The shop in production."""
    variables = {
        "FASTAPI_JOBS_ENV": "production",
        "FASTAPI_JOBS_DATABASE_URL": postgres_url,
        "FASTAPI_JOBS_CELERY__BROKER_URL": redis_url,
        "FASTAPI_JOBS_NAME": tmp_path.name,  # other tests use this Redis too
    }
    return Shop(tmp_path, variables)


def test_its_commands_run_jobs_on_celery(shop: Shop) -> None:
    migrate, check, worker, mail = commands()
    shop.run(migrate)
    with shop.running(worker), shop.running(mail):
        added = shop.run("fastapi-jobs enqueue tasks.add_up 'numbers=[1, 2, 3]' --wait --json")
        sent = shop.run(
            "fastapi-jobs enqueue tasks.send_welcome email=a@example.com name=Ada "
            "--queue mail --wait --json"
        )
        assert '"succeeded"' in added
        assert '"succeeded"' in sent
        said = shop.run(check)
        assert "The broker redis://" in said
        assert "No Celery worker lives" not in said


SettingsBy = Callable[[Mapping[str, str]], Settings]


@pytest.fixture
def settings_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsBy:
    """Load the section's settings under these variables."""
    path = tmp_path / "settings.toml"
    path.write_text(block("toml"))

    def load_by(variables: Mapping[str, str]) -> Settings:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return load(path)

    return load_by


def test_what_systemd_starts(settings_by: SettingsBy) -> None:
    unit = configparser.ConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block("ini"))
    service = unit["Service"]
    program, command = service["ExecStart"].split()
    assert Path(program).name == "fastapi-jobs"
    assert command in COMMANDS
    # SIGTERM to a prefork child gives its job back at once.
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > load().shutdown_seconds
    assert settings_by(dict([service["Environment"].split("=")])).environment == "production"


def test_what_docker_compose_starts(settings_by: SettingsBy) -> None:
    file = yaml.safe_load(block("yaml"))
    services: dict[str, dict[str, Any]] = file["services"]
    assert {name for name, each in services.items() if "build" not in each} == {"redis", "db"}
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services)
        if "build" in service:
            program, word, *_ = service["command"].split()
            assert program == "uvicorn" or word in COMMANDS, name
            settings = settings_by(service["environment"])
            assert settings.backend == "celery", name
            if word == "worker":
                grace = check_duration(service["stop_grace_period"])
                assert grace is not None
                assert grace.total_seconds() > settings.shutdown_seconds
    mail = settings_by(services["mail"]["environment"])
    assert (mail.queue("mail").pool, mail.celery.concurrency) == ("threads", 100)
    database, broker = mail.database_url, str(mail.celery.broker_url)
    owner = services["db"]["environment"]
    account = f"{owner['POSTGRES_USER']}:{owner['POSTGRES_PASSWORD']}"
    assert database.endswith(f"//{account}@db/{owner['POSTGRES_DB']}")
    assert broker.startswith("redis://redis:")
