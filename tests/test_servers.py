"""The test servers themselves: databases are fresh, and a pause or a crash is a real one."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.conftest import leftovers
from tests.servers import PostgresServer, free_port, wait_until


def connect(url: str, timeout: int = 10) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), connect_timeout=timeout, autocommit=True)


def test_each_fresh_database_is_empty_and_has_a_name_of_its_own(postgres: PostgresServer) -> None:
    urls = []
    for _ in range(3):
        with postgres.fresh_database() as url:
            urls.append(url)
            forgotten = connect(url)
            with connect(url) as connection:
                connection.execute("CREATE TABLE left_by_a_test (id int)")
                connection.execute("CREATE SCHEMA other CREATE TABLE left_too (id int)")
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            connect(url)
    assert len(set(urls)) == 3
    assert postgres._spare, "the databases should have been recycled"


def test_a_crash_keeps_what_was_committed_and_the_port(
    postgres_server_factory: Callable[..., PostgresServer],
) -> None:
    server = postgres_server_factory(fsync=True)
    url = server.url(server.create_database())
    with connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT one FROM kept")
    with pytest.raises(psycopg.OperationalError):
        connect(url)
    server.start()
    with connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_pause_freezes_open_connections_until_resume(
    postgres_server_factory: Callable[..., PostgresServer],
) -> None:
    server = postgres_server_factory()
    answers: list[object] = []
    with connect(server.url()) as connection:
        query = threading.Thread(
            target=lambda: answers.append(connection.execute("SELECT 1").fetchone())
        )
        with server.paused():
            wait_until(lambda: is_frozen(server))
            query.start()
            query.join(0.2)
            assert answers == []
        query.join(30)
    assert answers == [(1,)]


def test_a_killed_test_run_leaves_no_server(postgres_bin: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.servers import PostgresServer\n"
        "server = PostgresServer(Path(sys.argv[1])); server.start()\n"
        "print(server.pid, server.folder, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(postgres_bin)], stdout=subprocess.PIPE, text=True
    )
    with run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        run.kill()
    wait_until(lambda: status(int(pid)) in ("gone", psutil.STATUS_ZOMBIE))
    wait_until(lambda: not Path(folder).exists())


def status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return "gone"


def is_frozen(server: PostgresServer) -> bool:
    pids = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
    return {status(pid) for pid in pids} <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}


def test_free_port_is_free() -> None:
    assert 15_000 <= free_port() <= 32_000


def test_leftover_threads_and_children_are_named() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="fastapi-jobs-forgotten")
    thread.start()
    code = "import time; time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code, "fastapi_jobs._child"])
    try:
        wait_until(lambda: len(leftovers()) == 2)
        assert leftovers() == [
            "thread 'fastapi-jobs-forgotten'",
            f"child process {child.pid}",
        ]
    finally:
        stop.set()
        thread.join()
        child.kill()
        child.wait()
    assert leftovers() == []
