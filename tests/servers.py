"""Real servers for the tests: started, paused, killed and thrown away by process id."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import uuid4

import psutil
import psycopg
from psycopg import sql

from run import POSTGRES_BIN_VARIABLE, find_postgres_bin

STOP_LIMIT = 30.0

SIDE_BY_SIDE = 8
"""How many test processes may take ports at once."""


class Server(ABC):
    """A server on a free port of 127.0.0.1, with a folder and a session of its own.

    `with` starts it, and removes everything at the end.
    """

    title: ClassVar[str]
    start_limit: ClassVar[float] = 30.0
    last_words: ClassVar[str] = 'kill -KILL "$@"'
    """What ends the processes `$@` when the test run itself dies, even by SIGKILL."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"fastapi-jobs-{self.title.lower()}-"))
        self._server: subprocess.Popen[bytes] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server; raises RuntimeError when it is stopped."""
        if self._server is None:
            raise RuntimeError(f"This {self.title} is stopped.")
        return self._server.pid

    def start(self) -> None:
        """Start the server and return when it answers; the port stays the same over restarts."""
        self._server = self._launch()
        # The pipe closes with whoever holds its other end.
        words = f'read _; folder="$1"; shift; {self.last_words}; rm -rf "$folder"'
        pids = [str(each.pid) for each in self._processes]
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", words, "watchdog", str(self.folder), *pids],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._is_up, self.start_limit, lambda: f"{self.title} start:\n{self.said()}")

    @abstractmethod
    def _launch(self) -> "subprocess.Popen[bytes]":
        """Start the server by `_run`, after what it needs."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it can be used."""

    def _is_up(self) -> bool:
        if self._server is None or self._server.poll() is not None:
            raise RuntimeError(f"{self.title} ended at its start:\n{self.said()}")
        return self._answers()

    def _run(self, command: Sequence[str | Path], **more: Any) -> "subprocess.Popen[bytes]":
        # A session of its own: Ctrl-C in the terminal must not stop it before the fixtures do.
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **more,
            )
        self._processes.append(process)
        return process

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """Stop at once, as a crash would; nothing happens when stopped."""
        for each in reversed(self._processes):
            self._end(each)
        self._processes.clear()
        self._server = None
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.kill()
            watchdog.wait()
            if watchdog.stdin is not None:
                watchdog.stdin.close()

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()

    def pause(self) -> None:
        """Freeze the server and all its connections (SIGSTOP), as a stalled machine would."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal_all(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Pause inside the block, resume after it."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def _signal_all(self, number: signal.Signals) -> None:
        # The parent first when freezing, so that it starts no child unseen. Every child has a
        # session of its own, so one signal to a process group would miss them.
        server = psutil.Process(self.pid)
        server.send_signal(number)
        for child in server.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    def close(self) -> None:
        """Stop and remove everything; safe to repeat."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_postgres(chosen: str | None = None) -> Path:
    """The folder of `postgres` and `initdb`: `chosen`, else where systems keep it.

    Raises RuntimeError when there is none.
    """
    folder = chosen or find_postgres_bin()
    if not folder:
        raise RuntimeError(
            "These tests need a real PostgreSQL and none is installed. "
            f"Run: python3 run.py test, or set {POSTGRES_BIN_VARIABLE} to the folder of initdb."
        )
    return Path(folder)


class PostgresServer(Server):
    """A PostgreSQL cluster of its own. `fsync=False` is fast and loses on power cut.

    `stop`, `restart`, `pause` and `resume` act on the real processes; `close` also removes the
    data folder.
    """

    title = "PostgreSQL"
    start_limit = 60.0
    # SIGCONT, because a paused server does not hear SIGQUIT.
    last_words = """
        kill -QUIT "$1"; kill -CONT "$1"
        for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.5; done
    """.strip()

    def __init__(
        self, bin_folder: Path, *, fsync: bool = False, max_connections: int = 200
    ) -> None:
        super().__init__()
        self.bin = bin_folder
        self.fsync, self.max_connections = fsync, max_connections
        self._spare: list[str] = []
        self._account = _unprivileged_account(self.folder)

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of one database of this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def _launch(self) -> "subprocess.Popen[bytes]":
        if not self._data.exists():
            self._initdb()
        return self._run([self.bin / "postgres", *self._options()], **self._account)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Immediate shutdown."""
        self.resume()
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._signal_all(signal.SIGKILL)
            process.wait(STOP_LIMIT)

    def restart(self) -> None:
        """Stop as a crash would, then start on the same port with the same data."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of an empty database that nobody else knows, for the length of the block."""
        name = self._spare.pop() if self._spare else self.create_database()
        try:
            yield self.url(name)
        finally:
            try:
                self._spare.append(self._emptied(name))
            except psycopg.Error:
                with contextlib.suppress(psycopg.Error):
                    self.drop_database(name)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{uuid4().hex}"
        self.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0{}").format(
                sql.Identifier(name), self._strategy()
            )
        )
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )

    def _emptied(self, name: str) -> str:
        """Empty a database and rename it; the new name.

        Ten times faster than a new one on an ordinary disk. Under its new name no process that a
        test forgot finds it again.
        """
        new = f"test_{uuid4().hex}"
        with self._connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            )
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(name), sql.Identifier(new)))
        with self._connect(new) as connection:
            found = connection.execute(
                "SELECT nspname FROM pg_namespace "
                "WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'"
            )
            for (schema,) in found.fetchall():
                drop = sql.SQL("DROP SCHEMA {} CASCADE")
                connection.execute(drop.format(sql.Identifier(schema)))
            connection.execute("CREATE SCHEMA public")
        return new

    def execute(self, statement: sql.SQL | sql.Composed) -> None:
        """Run one statement in the `postgres` database, outside any transaction."""
        with self._connect() as connection:
            connection.execute(statement)

    def _initdb(self) -> None:
        options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        command: list[str | Path] = [self.bin / "initdb", "-D", self._data, *options]
        process = self._run(command, **self._account)
        self._processes.remove(process)
        if process.wait():
            raise RuntimeError(f"initdb ended with {process.returncode}:\n{self.said()}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _options(self) -> list[str | Path]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": self.port,
            "max_connections": self.max_connections,
            "fsync": "on" if self.fsync else "off",
            "full_page_writes": "on" if self.fsync else "off",
            "autovacuum_naptime": "10s",
        }
        pairs = [f"{name}={value}" for name, value in settings.items()]
        return ["-D", self._data, *(part for pair in pairs for part in ("-c", pair))]

    def _connect(self, database: str = "postgres") -> psycopg.Connection:
        url = self.url(database).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=60)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _strategy(self) -> sql.SQL:
        version = int((self._data / "PG_VERSION").read_text())
        return sql.SQL(" STRATEGY FILE_COPY" if version >= 15 else "")


def free_port() -> int:
    """A free TCP port below the range that outgoing connections take theirs from.

    Tests that run side by side get different ones: a server that a test stops leaves its port free.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(15_000, 32_000, SIDE_BY_SIDE) + process % SIDE_BY_SIDE
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(
    true: Callable[[], bool], limit: float = 30.0, what: Callable[[], str] = lambda: "condition"
) -> None:
    """Return when `true()` holds; raises TimeoutError naming `what()` after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        is_over = time.monotonic() > end  # who stood still may look once more
        if true():
            return
        if is_over:
            raise TimeoutError(f"Not within {limit:g} s: {what()}")
        time.sleep(0.02)


def _unprivileged_account(folder: Path) -> dict[str, Any]:
    """The Popen arguments that give up root, which PostgreSQL refuses; `folder` changes owner."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            break
    else:
        raise RuntimeError("PostgreSQL refuses root, and no account postgres or nobody exists.")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
