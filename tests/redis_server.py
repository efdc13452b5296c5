"""A real Redis for the tests: started here, stopped, flushed and thrown away by process id."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.servers import free_port, wait_until

START_LIMIT = 30.0

# Kills the server when the test run itself dies, even by SIGKILL: the pipe closes then.
WATCHDOG = 'read _; kill -KILL "$1"; [ -z "$2" ] || rm -rf "$2"'


def find_redis(chosen: str | None = None) -> str:
    """The program `redis-server`; raises RuntimeError when there is none."""
    program = chosen or shutil.which("redis-server")
    if not program:
        raise RuntimeError(
            "These tests need a real Redis and none is installed. Run: python3 run.py test"
        )
    return program


class RedisServer:
    """A Redis of its own on 127.0.0.1, in memory alone: a stop loses what it held."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="fastapi-jobs-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The process id of the running server; raises RuntimeError when it is stopped."""
        if self._process is None:
            raise RuntimeError("This Redis is stopped.")
        return self._process.pid

    def start(self) -> None:
        """Start the server, empty, and return when it answers; the port stays the same."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
            "daemonize": "no",
        }
        pairs = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, *pairs],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, START_LIMIT, lambda: f"Redis start:\n{self._log_tail()}")

    def stop(self) -> None:
        """Stop at once, as a crash would; nothing happens when stopped."""
        process, watchdog = self._process, self._watchdog
        if process is None or watchdog is None:
            return
        process.kill()
        process.wait()
        watchdog.kill()
        watchdog.wait()
        if watchdog.stdin is not None:
            watchdog.stdin.close()
        self._process = self._watchdog = None

    def flush(self) -> None:
        """Forget everything, as a FLUSHALL by somebody else would."""
        with self._client() as client:
            client.flushall()

    def length(self, queue: str, database: int = 0) -> int:
        """How many messages wait in a Celery queue, over all its priorities."""
        with self._client(database) as client:
            return sum(client.llen(name) for name in client.scan_iter(f"{queue}*", _type="list"))

    def close(self) -> None:
        """Stop and remove everything; safe to repeat."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "RedisServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _client(self, database: int = 0) -> Iterator[redis.Redis]:
        client = redis.Redis(port=self.port, db=database, socket_timeout=5)
        try:
            yield client
        finally:
            client.close()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"Redis ended at its start:\n{self._log_tail()}")
        with self._client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]
