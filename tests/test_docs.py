"""The documentation tells the truth: it builds without a warning, and its blocks run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.exceptions import PluginError

import fastapi_jobs
import fastapi_jobs.testing
from docs.hooks import on_page_markdown, section
from docs.raises import listed
from fastapi_jobs.cli.commands import COMMANDS
from fastapi_jobs.conf import load
from tests.readme import README, Block, blocks, environments_of, lay_out, run_block, run_pytest
from tests.redis_server import RedisServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
HOW_TO = ROOT / "docs" / "pages" / "how-to"
CLOSED = "http://127.0.0.1:9"

SIGN_UP = """
from fastapi.testclient import TestClient

from {module} import app

with TestClient(app) as client:
    who = {{"email": "ada@example.com", "name": "Ada"}}
    answer = client.post("/signup", params=who)
    assert answer.status_code == 202, answer.text
"""
SEE_IT_RUN = """
    waited = client.get("/jobs/" + answer.json()["{key}"], params={{"wait": 20}}).json()
    assert waited["status"] == "succeeded", waited
    assert waited["task"] == "tasks.send_welcome", waited
"""
SEE_IT_RUN_IN_TASKFLOW = """
    assert client.get("/tasks/" + answer.json()["task_id"]).json()["status"] == "success"
"""

ON_REDIS = """
from functools import partial

from arq import connections

# The Redis of the page is on the usual port.
connections.RedisSettings = partial(connections.RedisSettings, port={port})
"""
SEE_IT_RUN_IN_ARQ = """
import asyncio

from arq.jobs import Job
from arq.worker import create_worker

from before import WorkerSettings

async def result():
    settings = connections.RedisSettings()
    worker = create_worker(WorkerSettings, redis_settings=settings, burst=True)
    await worker.async_run()
    job = Job(answer.json()["job_id"], worker.pool)
    try:
        return await job.result(timeout=20)
    finally:
        await worker.pool.aclose()

assert asyncio.run(result()) == len("Ada")
"""


def of_pages(language: str) -> list[Block]:
    """The blocks of this language on all pages."""
    return [block for page in PAGES for block in blocks(language, page)]


def needs_arq(block: Block) -> bool:
    """Whether a block needs arq, which wants another redis than ours: one below 6."""
    return "from arq" in block.text


def modules(page: Path) -> list[str]:
    """The Python files that the page's blocks name, but for tests, which pytest runs."""
    files = [each.file or "" for each in blocks("python", page) if not needs_arq(each)]
    names = [file.removesuffix(".py") for file in files if file]
    return [name for name in names if name != "conftest" and not name.startswith("test_")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, made where no network answers."""
    site = tmp_path_factory.mktemp("site")
    build = ["mkdocs", "build", "--strict", "-f", "docs/mkdocs.yml", "-d", str(site)]
    done = subprocess.run(
        [sys.executable, "-m", *build],
        cwd=ROOT,
        env=os.environ
        | {"NO_MKDOCS_2_WARNING": "1"}
        | dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], CLOSED),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr  # --quiet would hide the warnings
    return site


def test_it_builds_without_a_warning(site: Path) -> None:
    built = {path.parent.relative_to(site) for path in site.rglob("index.html")}
    assert len(built) == len(PAGES)


def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link rel="stylesheet")[^>]*https?://', page.read_text()
        )
        assert loaded == [], page


def test_each_public_name_is_in_the_reference(site: Path) -> None:
    python = (site / "reference" / "python" / "index.html").read_text()
    for name in fastapi_jobs.__all__:
        assert f'id="fastapi_jobs.{name}"' in python, name
    kit = (site / "reference" / "testing" / "index.html").read_text()
    for name in fastapi_jobs.testing.__all__:
        assert f'id="fastapi_jobs.testing.{name}"' in kit, name


def test_each_command_has_its_help(site: Path) -> None:
    page = (site / "reference" / "command-line" / "index.html").read_text()
    for name, command in COMMANDS.items():
        assert f'<h2 id="{name}">' in page
        assert command.summary in page
        assert f"fastapi-jobs {name} [OPTIONS]" in page


def test_no_wish_of_a_page_is_left(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.search(r"<!-- (readme: |help)|&lt;!--", page.read_text()), page


def test_a_section_ends_at_the_next_heading() -> None:
    text = "## A\none\n```\n# code\n```\n### In A\ntwo\n## B\nthree\n"
    assert section(text, "A") == "one\n```\n# code\n```"
    assert section(text, "In A") == "two"
    assert section(text, "C") == ""


def test_a_part_that_is_not_there_fails_the_build() -> None:
    with pytest.raises(PluginError, match="The README has no part 'Five hours'"):
        on_page_markdown("# A page\n\n<!-- readme: Five hours -->\n")


def test_raises_becomes_a_list() -> None:
    said = "Do it.\n\nRaises:\n    OneError, TwoError\n    ThreeError: why\n        and how\n"
    listing = "- `OneError`, `TwoError`\n- `ThreeError`: why and how"
    assert listed(said) == f"Do it.\n\n**Raises**\n\n{listing}"


# The blocks.


@pytest.mark.parametrize("block", [each for each in of_pages("python") if not each.file], ids=str)
def test_every_python_block_runs(block: Block, tmp_path: Path) -> None:
    lay_out(tmp_path, block.page, README)
    run_block(block.text, tmp_path)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if modules(page)], ids=lambda page: page.stem
)
def test_every_python_file_can_be_imported(page: Path, tmp_path: Path) -> None:
    lay_out(tmp_path, page, README)
    run_block("".join(f"import {name}\n" for name in modules(page)), tmp_path)


@pytest.fixture(scope="module")
def arq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with arq and its redis, which hides ours from who has it in PYTHONPATH."""
    folder = tmp_path_factory.mktemp("arq")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", str(folder), "arq==0.28.*"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"arq cannot be obtained:\n{done.stderr}"
    return folder


def test_the_app_of_arq_works(
    arq: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_redis: RedisServer
) -> None:
    lay_out(tmp_path, HOW_TO / "from-arq.md")
    monkeypatch.setenv("PYTHONPATH", str(arq))
    there = ON_REDIS.format(port=own_redis.port)
    run_block(there + SIGN_UP.format(module="before") + SEE_IT_RUN_IN_ARQ, tmp_path)


@pytest.mark.parametrize("block", of_pages("toml"), ids=str)
def test_every_toml_block_is_a_settings_file(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(block.text)
    for environment in environments_of(block.text):
        monkeypatch.setenv("FASTAPI_JOBS_ENV", environment)
        assert path in load(path).files


@pytest.mark.parametrize("block", of_pages("bash"), ids=str)
def test_every_command_exists(block: Block) -> None:
    for name in re.findall(r"fastapi-jobs ([\w-]+)", block.text):
        assert name in COMMANDS


@pytest.mark.parametrize(
    ("page", "module", "after"),
    [
        ("from-background-tasks", "before", ""),
        ("from-background-tasks", "main", SEE_IT_RUN.format(key="job_id")),
        ("from-fastapi-taskflow", "before", SEE_IT_RUN_IN_TASKFLOW),
        ("from-fastapi-taskflow", "main", SEE_IT_RUN.format(key="task_id")),
        ("from-arq", "main", SEE_IT_RUN.format(key="job_id")),
    ],
)
def test_the_apps_of_the_migrations_work(
    page: str, module: str, after: str, tmp_path: Path
) -> None:
    lay_out(tmp_path, HOW_TO / f"{page}.md")
    run_block(SIGN_UP.format(module=module) + after, tmp_path)


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    lay_out(tmp_path, HOW_TO / "test-your-jobs.md", README)
    said = run_pytest(tmp_path, "test_flaky.py", "test_signup.py")
    assert "6 passed" in said, said


def test_the_backend_of_the_page_is_a_good_one(tmp_path: Path) -> None:
    lay_out(tmp_path, HOW_TO / "own-backend.md")
    said = run_pytest(tmp_path, "test_own.py")
    assert re.search(r"^\d\d passed", said, re.MULTILINE), said
