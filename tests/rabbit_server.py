"""A real RabbitMQ for the tests: started here, stopped and thrown away by process id.

It is a node of its own, with a data folder, ports and a port mapper (epmd) of its own on 127.0.0.1,
so that it neither meets nor disturbs one that the system runs. It runs as whoever runs the tests.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import amqp

from run import find_rabbitmq
from tests.servers import free_port, wait_until

START_LIMIT = 120.0
"""An Erlang machine, a database and some plugins start: seconds on an idle machine."""

# Kills the server when the test run itself dies, even by SIGKILL: the pipe closes then.
WATCHDOG = 'read _; kill -KILL "$1" "$2"; rm -rf "$3"'

CONFIGURATION = """
listeners.tcp.local = 127.0.0.1:{port}
loopback_users.guest = true
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
"""

ADVANCED = "[{{rabbit, [{{consumer_timeout, {milliseconds}}}, {{channel_tick_interval, 500}}]}}]."


def find_rabbit() -> str:
    """The script that starts RabbitMQ; raises RuntimeError when there is none."""
    program = find_rabbitmq()
    if program is None:
        raise RuntimeError(
            "These tests need a real RabbitMQ and none is installed. Run: python3 run.py test"
        )
    return program


class RabbitServer:
    """A RabbitMQ of its own; what it holds may survive `stop` and `start`.

    It gives up on a consumer that has not acknowledged a message for `consumer_seconds`.
    """

    def __init__(self, program: str, *, consumer_seconds: int = 1800) -> None:
        self.program = program
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="fastapi-jobs-rabbit-"))
        self._mapper_port, self._node_port = free_port(), free_port()
        (self.folder / "rabbitmq.conf").write_text(CONFIGURATION.format(port=self.port))
        (self.folder / "advanced.config").write_text(
            ADVANCED.format(milliseconds=1000 * consumer_seconds)
        )
        (self.folder / "enabled_plugins").write_text("[].")
        (self.folder / "rabbitmq-env.conf").touch()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL that Celery takes."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def pid(self) -> int:
        """The process id of the running server; raises RuntimeError when it is stopped."""
        if self._process is None:
            raise RuntimeError("This RabbitMQ is stopped.")
        return self._process.pid

    def start(self) -> None:
        """Start the server and return when it answers; the port stays the same."""
        self._mapper = self._started(["epmd"])
        self._process = self._started([self.program])
        doomed = (self._process.pid, self._mapper.pid)
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", *map(str, doomed), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._answers, START_LIMIT, lambda: f"RabbitMQ start:\n{self._log_tail()}")

    def _started(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        foreign = ("RABBITMQ_", "ERL_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        folder = str(self.folder)
        return kept | {
            "HOME": folder,  # of Erlang's cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": f"tests-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            # Its script makes way for the server, so that the process started is the server.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def stop(self) -> None:
        """Stop at once, as a crash would; nothing happens when stopped."""
        process, self._process = self._process, None
        mapper, self._mapper = self._mapper, None
        watchdog, self._watchdog = self._watchdog, None
        for each in (process, mapper, watchdog):
            if each is not None:
                each.kill()
                each.wait()
        if watchdog is not None and watchdog.stdin is not None:
            watchdog.stdin.close()

    def length(self, queue: str) -> int:
        """How many messages wait in a queue."""
        with self.connected() as connection:
            return int(connection.channel().queue_declare(queue, passive=True).message_count)

    def close(self) -> None:
        """Stop and remove everything; safe to repeat."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "RabbitServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection of the test's own."""
        with amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=5) as connection:
            yield connection

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended at its start:\n{self._log_tail()}")
        with contextlib.suppress(OSError, amqp.AMQPError), self.connected():
            return True
        return False

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]
