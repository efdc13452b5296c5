"""`python -m example_project.cluster`: Redis, PostgreSQL, two Celery workers and the app, together.

The servers listen on this machine alone and keep their data in a folder that ends with them.
"""

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import redis

from example_project.places import SETTINGS

PATIENCE = 60.0
"""Seconds that a server or a worker may take to start or to stop."""

WORKERS = {
    "computing": ((), {}),
    "what waits": (
        ("--queue", "default", "--queue", "reports"),
        {"FASTAPI_JOBS_CELERY__CONCURRENCY": "20"},
    ),
}
"""What each worker is for, its options and its variables. `settings.toml` gives the queues of the
second another pool, which is why the first leaves them."""

# Ends a process when we are gone, even by kill -9: the pipe closes then.
WATCHDOG = 'read _; kill -TERM "$1"'


class CannotStart(Exception):
    """Something did not start, or ended too soon."""


class Part:
    """One process of the whole, in a session of its own: Ctrl-C reaches us, and we stop it."""

    def __init__(self, name: str, command: Sequence[str], log: Path | None, **more: Any) -> None:
        self.name, self._log = name, log
        with contextlib.ExitStack() as opened:
            if log is not None:
                more["stdout"] = opened.enter_context(log.open("ab"))
                more["stderr"] = subprocess.STDOUT
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, **more
            )
        self.pid = self._process.pid
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def code(self) -> int | None:
        """Its exit code; None while it lives."""
        return self._process.poll()

    def said(self) -> str:
        """The end of what it wrote."""
        text = self._log.read_text(errors="replace") if self._log else ""
        return text[-2000:].rstrip()

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready.

        Raises:
            CannotStart: it ended, or took too long.
        """
        end = time.monotonic() + PATIENCE
        while not ready():
            if self.code is not None or time.monotonic() > end:
                how = "took too long" if self.code is None else f"ended with {self.code}"
                raise CannotStart(f"{self.name} {how}:\n{self.said()}")
            self.wait(0.05)

    def wait(self, seconds: float) -> None:
        """Until it ends, or so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def stop(self, number: signal.Signals) -> None:
        """Ask it to end, wait, and leave nothing of it."""
        if self.code is None:
            self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._watchdog.kill()
        self._watchdog.communicate()


class Cluster:
    """`with Cluster(postgres, redis) as cluster`: all of it runs inside, nothing of it after."""

    def __init__(self, postgres_bin: Path, redis_program: str) -> None:
        self._bin, self._redis = postgres_bin, redis_program
        self._folder = Path(tempfile.mkdtemp(prefix="example-project-"))
        self._account = _account_for_postgres(self._folder)
        self._parts: list[tuple[Part, signal.Signals]] = []

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # A second Ctrl-C must not leave anything behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for part, number in reversed(self._parts):
            part.stop(number)
            say(f"{part.name} has stopped.")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _add(
        self, name: str, command: Sequence[str], stop: signal.Signals = signal.SIGTERM, **more: Any
    ) -> Part:
        part = Part(name, command, self._log(name), **more)
        self._parts.append((part, stop))
        return part

    def _log(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.log"

    def _start(self) -> None:
        broker, database = self._start_redis(), self._start_postgres()
        self._environment = {
            **os.environ,
            "FASTAPI_JOBS_ENV": "production",
            "FASTAPI_JOBS_SETTINGS_MODULE": str(SETTINGS),
            "FASTAPI_JOBS_DATABASE_URL": database,
            "FASTAPI_JOBS_CELERY__BROKER_URL": broker,
            # The terminal is for the app's table.
            "FASTAPI_JOBS_LOG_FILE": str(self._log("jobs")),
        }
        command = [sys.executable, "-m", "fastapi_jobs"]
        _run([*command, "migrate"], env=self._environment)
        for what, (options, variables) in WORKERS.items():
            given = [*command, "worker", *options]
            part = self._add(f"The worker for {what}", given, env=self._environment | variables)
            say(f"Worker {part.pid}: {what}, log {self._log(part.name)}")

    def _start_redis(self) -> str:
        port = _free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        part = self._add("Redis", [self._redis, *options], cwd=self._folder)
        with redis.Redis(port=port) as client:
            part.until(lambda: _answers(client.ping, redis.RedisError))
        say(f"Redis {part.pid} on 127.0.0.1:{port}")
        return f"redis://127.0.0.1:{port}/0"

    def _start_postgres(self) -> str:
        port, data = _free_port(), self._folder / "data"
        place = {"cwd": self._folder, **self._account}
        new = [str(self._bin / "initdb"), "-D", str(data), "-A", "trust", "-U", "shop"]
        _run([*new, "-E", "UTF8", "--no-sync"], **place)
        given = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": port}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        # SIGINT is its fast shutdown.
        command = [str(self._bin / "postgres"), "-D", str(data), *options]
        part = self._add("PostgreSQL", command, signal.SIGINT, **place)
        url = f"postgresql://shop@127.0.0.1:{port}/postgres"
        part.until(lambda: _answers(lambda: psycopg.connect(url).close(), psycopg.OperationalError))
        say(f"PostgreSQL {part.pid} on 127.0.0.1:{port}")
        return url.replace("://", "+psycopg://")

    def run(self, arguments: Sequence[str]) -> int:
        """The app, until it ends or something else does; its exit code."""
        command = [sys.executable, "-m", "example_project", "--throwaway", *arguments]
        # Without a log: it shows itself in the terminal.
        app = Part("The app", command, None, env=self._environment)
        self._parts.append((app, signal.SIGINT))
        while app.code is None:
            for part, _ in self._parts:
                if part is not app and part.code is not None:
                    raise CannotStart(f"{part.name} ended with {part.code}:\n{part.said()}")
            app.wait(0.1)
        return app.code


def _run(command: Sequence[str], **more: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise CannotStart(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def _answers(ask: Callable[[], object], refusal: type[Exception]) -> bool:
    with contextlib.suppress(refusal):
        ask()
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _account_for_postgres(folder: Path) -> dict[str, Any]:
    """Popen's arguments that give up root, which PostgreSQL refuses; `folder` changes hands."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            os.chown(folder, account.pw_uid, account.pw_gid)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    raise CannotStart("PostgreSQL refuses root, and there is no account postgres or nobody.")


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main() -> int:
    """Run the whole until the app ends or a signal comes; the exit code is the app's."""
    parser = argparse.ArgumentParser(prog="example_project.cluster", description=__doc__)
    parser.add_argument("--postgres", type=Path, required=True, help="the folder of its programs")
    parser.add_argument("--redis", required=True, help="the program redis-server")
    given, rest = parser.parse_known_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with Cluster(given.postgres, given.redis) as cluster:
            return cluster.run(rest)
    except CannotStart as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
