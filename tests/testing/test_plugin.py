"""The plugin as a user's pytest finds it, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

SHOP = """
from fastapi import FastAPI
from fastapi_jobs import FastAPIJobs, task

@task
async def send_welcome(email: str) -> str:
    return email

jobs = FastAPIJobs(database_url="sqlite:///real.db")
app = FastAPI()
jobs.init_app(app)

@app.post("/signup", status_code=202)
async def signup(email: str) -> None:
    await send_welcome.enqueue(email)
"""

TESTS = """
import pytest
from fastapi.testclient import TestClient
from shop import app, send_welcome

@pytest.fixture
def client(jobs_test):
    with TestClient(app) as client:
        yield client

def test_signup(client, jobs_test):
    client.post("/signup", params={"email": "ada@example.com"})
    jobs_test.assert_enqueued(send_welcome, "ada@example.com")
    assert jobs_test.drain_sync().succeeded == 1

def test_a_fresh_store(client, jobs_test):
    jobs_test.assert_not_enqueued(send_welcome)
    assert jobs_test.perform_sync(send_welcome, "ada@example.com").result == "ada@example.com"

def test_fails(client, jobs_test):
    client.post("/signup", params={"email": "ada@example.com"})
    jobs_test.assert_enqueued(send_welcome, "bob@example.com")
"""


@pytest.fixture
def user(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose pytest loads its plugins by their entry points."""
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope=function"
    )
    pytester.makepyfile(shop=SHOP)
    return pytester


def test_a_users_tests(user: pytest.Pytester) -> None:
    user.makepyfile(TESTS)
    result = user.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            '>   *jobs_test.assert_enqueued(send_welcome, "bob@example.com")',
            "E   *No job of shop.send_welcome was enqueued like this:",
            "E   *    send_welcome(email='bob@example.com')",
            "E   *But this one was:",
            "E   *  1. send_welcome(email='ada@example.com')",
            "E   *       email: 'ada@example.com', not 'bob@example.com'",
            "test_a_users_tests.py:*: AssertionError",
        ]
    )
    assert not (user.path / "real.db").exists()


ASYNC = """
import pytest
from httpx2 import ASGITransport, AsyncClient
from shop import app, send_welcome

{mark}

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def test_signup(jobs_test):
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app=app)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            await client.post("/signup", params={{"email": "ada@example.com"}})
        jobs_test.assert_enqueued(send_welcome, "ada@example.com")
        assert (await jobs_test.drain()).succeeded == 1
        assert (await jobs_test.perform(send_welcome, "a")).result == "a"
"""


@pytest.mark.parametrize("runner", ["asyncio", "anyio"])
def test_async_tests(user: pytest.Pytester, runner: str) -> None:
    user.makepyfile(ASYNC.format(mark=f"pytestmark = pytest.mark.{runner}"))
    user.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_settings_of_the_test(user: pytest.Pytester) -> None:
    user.makepyfile(
        """
        import pytest
        from shop import jobs, send_welcome

        @pytest.fixture
        def jobs_test_settings():
            return {"max_payload": 20}

        def test_it(jobs_test):
            assert jobs.settings.max_payload == 20
            assert jobs.settings.origins["max_payload"] == "jobs_test_settings(max_payload=…)"
        """
    )
    user.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_wrong_setting_of_the_test_is_named(user: pytest.Pytester) -> None:
    user.makepyfile(
        """
        import pytest, shop

        @pytest.fixture
        def jobs_test_settings():
            return {"max_paylod": 20}

        def test_it(jobs_test): ...
        """
    )
    result = user.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*jobs_test_settings(max_paylod=…)*Did you mean 'max_payload'?*"])


def test_a_project_without_jobs_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope=function"
    )
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            assert "fastapi_jobs.pytest_plugin" in sys.modules
            heavy = {"fastapi_jobs.testing", "fastapi", "sqlmodel", "sqlalchemy", "pydantic"}
            assert heavy & set(sys.modules) == set()
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert not list(Path(pytester.path).glob("*.db"))


def test_the_kit_needs_no_pytest(tmp_path: Path) -> None:
    code = "import sys, fastapi_jobs.testing; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
