"""A real RabbitMQ for the tests: started here, stopped and thrown away by process id.

It is a node of its own, with a data folder, ports and a port mapper (epmd) of its own on 127.0.0.1,
so that it neither meets nor disturbs one that the system runs. It runs as whoever runs the tests.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import amqp

from run import find_rabbitmq
from tests.servers import Server, free_port

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


class RabbitServer(Server):
    """A RabbitMQ of its own; what it holds may survive `stop` and `start`.

    It gives up on a consumer that has not acknowledged a message for `consumer_seconds`.
    """

    title = "RabbitMQ"
    # An Erlang machine, a database and some plugins start: seconds on an idle machine.
    start_limit = 120.0

    def __init__(self, program: str, *, consumer_seconds: int = 1800) -> None:
        super().__init__()
        self.program = program
        self._mapper_port, self._node_port = free_port(), free_port()
        (self.folder / "rabbitmq.conf").write_text(CONFIGURATION.format(port=self.port))
        (self.folder / "advanced.config").write_text(
            ADVANCED.format(milliseconds=1000 * consumer_seconds)
        )
        (self.folder / "enabled_plugins").write_text("[].")
        (self.folder / "rabbitmq-env.conf").touch()

    @property
    def url(self) -> str:
        """The URL that Celery takes."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def _launch(self) -> "subprocess.Popen[bytes]":
        self._run(["epmd"], env=self._environment())
        return self._run([self.program], env=self._environment())

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

    def length(self, queue: str) -> int:
        """How many messages wait in a queue."""
        with self.connected() as connection:
            return int(connection.channel().queue_declare(queue, passive=True).message_count)

    @contextlib.contextmanager
    def connected(self, patience: float = 60.0) -> Iterator[Any]:
        """A connection of the test's own; each step of its making may take `patience` seconds."""
        with amqp.Connection(f"127.0.0.1:{self.port}", connect_timeout=patience) as connection:
            yield connection

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, amqp.AMQPError), self.connected(5):
            return True
        return False
