"""The README tells the truth: its blocks run, its tables are those of the code."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_overloads

import httpx2
import pytest
from fastapi.routing import APIRoute

import fastapi_jobs.tasks
from fastapi_jobs import FastAPIJobs
from fastapi_jobs.api.guard import OPEN_ENVIRONMENTS
from fastapi_jobs.backends.celery import CeleryBackend, PreforkBackend
from fastapi_jobs.backends.make import make_backends
from fastapi_jobs.conf import load
from fastapi_jobs.conf.model import AdminUser, QueueSettings
from fastapi_jobs.status import BORN, MOVES
from tests.readme import (
    README,
    Block,
    between,
    blocks,
    defaults,
    environments_of,
    lay_out,
    run_block,
    run_pytest,
    settings_table,
    table,
)
from tests.servers import free_port, wait_until


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A folder with every file that a block names, as a reader would have it."""
    lay_out(tmp_path, README)
    assert {"settings.toml", "tasks.py", "main.py"} <= {path.name for path in tmp_path.iterdir()}
    return tmp_path


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_every_python_block_runs(block: Block, start: Path) -> None:
    run_block(block.text, start)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_toml_block_is_a_settings_file(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(block.text)
    for environment in environments_of(block.text):
        monkeypatch.setenv("FASTAPI_JOBS_ENV", environment)
        assert path in load(path).files


@contextmanager
def served(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=120)


def test_the_five_minute_start(start: Path) -> None:
    with served(start) as base, httpx2.Client(base_url=base, timeout=120) as client:
        wait_until(lambda: answers(client), 120)
        who = {"email": "ada@example.com", "name": "Ada"}
        signup = client.post("/signup", params=who)
        assert signup.status_code == 202
        job = client.get(f"/jobs/{signup.json()['job_id']}", params={"wait": 60}).json()
        assert (job["status"], job["result"]) == ("succeeded", 3)


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/jobs/health").status_code == 200
    except httpx2.TransportError:
        time.sleep(0.05)
        return False


def test_the_tests_of_the_readme_pass(start: Path) -> None:
    said = run_pytest(start)
    assert "4 passed" in said, said
    assert not (start / "jobs.db").exists()


def test_the_message_of_the_readme_is_the_real_one(start: Path) -> None:
    [message] = [block.text for block in blocks("text") if "was enqueued like" in block.text]
    script = (
        "from pathlib import Path\n"
        "from fastapi_jobs.testing import JobsTest\n"
        "from tasks import send_welcome\n"
        "with JobsTest(Path('.')) as jobs_test:\n"
        "    send_welcome.enqueue_sync('ada@example.com', name='Ada')\n"
        "    try:\n"
        "        jobs_test.assert_enqueued(send_welcome, 'ada@example.com', name='Bob')\n"
        "    except AssertionError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=start, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == message, done.stderr


# The tables and the drawing.


def test_the_options_are_those_of_task() -> None:
    rows = {row[0].strip("`"): row[2].strip("`") for row in table("options")}
    declared: dict[str, Any] = get_overloads(fastapi_jobs.tasks.task)[-1].__kwdefaults__ or {}
    assert set(rows) == {"name", *fastapi_jobs.tasks._RULES} == set(declared)
    shown = {name: "none" if value is None else repr(value) for name, value in declared.items()}
    assert rows == shown


def test_the_settings_are_the_shipped_ones() -> None:
    assert between("settings") == settings_table(), "run: python -m tests.readme"
    keys = {row[0].strip("`") for row in table("settings")}
    queue = {f"queues.<name>.{key}" for key in QueueSettings.model_fields}
    user = {f"admin.users.<name>.{key}" for key in AdminUser.model_fields}
    assert keys == {*defaults(), "routes", *queue, *user} - {"admin.users"}


def test_the_drawing_is_moves() -> None:
    [drawing] = blocks("mermaid")
    arrows = set(re.findall(r"^\s+(\S+) --> (\w+)", drawing.text, re.MULTILINE))
    moves = {(before.value, after.value) for before, afters in MOVES.items() for after in afters}
    assert arrows == moves | {("[*]", born.value) for born in BORN}


def test_the_capabilities_are_those_of_the_backends(sqlite_url: str) -> None:
    settings = load(None, database_url=sqlite_url)
    rows = {row[0].replace("`", ""): row[1:] for row in table("capabilities")}
    backends = make_backends(settings, ["asyncio", "thread", "process", "immediate"]) | {
        "celery (prefork)": PreforkBackend(),
        "celery (threads, solo)": CeleryBackend(1),
    }
    assert set(rows) == set(backends)
    for name, backend in backends.items():
        for_async, for_def, crash = rows[name]
        assert for_async.startswith("stopped") == backend.stops_async, name
        assert for_def.startswith("stopped") == backend.stops_sync, name
        assert for_def.startswith("marked") != backend.stops_sync, name
        assert (crash == "hurts only itself") != backend.shares_process, name


def test_the_routes_are_those_of_the_router(sqlite_url: str) -> None:
    router = FastAPIJobs(database_url=sqlite_url, api_open=True).router()
    real = {
        f"{method} {route.path_format.replace(':path}', '}')}"
        for route in router.routes
        if isinstance(route, APIRoute) and not route.name.startswith("jobs:enqueue:")
        for method in route.methods or ()
    }
    assert {row[0].strip("`") for row in table("routes")} == real


def test_the_open_environments_are_named() -> None:
    text = " and ".join(f"`{name}`" for name in sorted(OPEN_ENVIRONMENTS))
    assert text in Path(__file__).parent.parent.joinpath("README.md").read_text("utf-8")
