"""A real Redis for the tests: started here, stopped, flushed and thrown away by process id."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import redis

from tests.servers import Server


def find_redis(chosen: str | None = None) -> str:
    """The program `redis-server`; raises RuntimeError when there is none."""
    program = chosen or shutil.which("redis-server")
    if not program:
        raise RuntimeError(
            "These tests need a real Redis and none is installed. Run: python3 run.py test"
        )
    return program


class RedisServer(Server):
    """A Redis of its own, in memory alone: a stop loses what it held."""

    title = "Redis"

    def __init__(self, program: str) -> None:
        super().__init__()
        self.program = program

    def url(self, database: int = 0) -> str:
        """The URL of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def _launch(self) -> "subprocess.Popen[bytes]":
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
            "daemonize": "no",
        }
        pairs = [part for name, value in options.items() for part in (f"--{name}", value)]
        return self._run([self.program, *pairs])

    def flush(self) -> None:
        """Forget everything, as a FLUSHALL by somebody else would."""
        with self._client() as client:
            client.flushall()

    def length(self, queue: str, database: int = 0) -> int:
        """How many messages wait in a Celery queue, over all its priorities."""
        with self._client(database) as client:
            return sum(client.llen(name) for name in client.scan_iter(f"{queue}*", _type="list"))

    @contextlib.contextmanager
    def _client(self, database: int = 0) -> Iterator[redis.Redis]:
        client = redis.Redis(port=self.port, db=database, socket_timeout=60)
        try:
            yield client
        finally:
            client.close()

    def _answers(self) -> bool:
        with self._client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False
