"""The shop under test: its jobs are recorded and run when a test says so."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from example_project.main import app
from example_project.people import COOKIE, GUEST
from example_project.places import OUT_VARIABLE
from fastapi_jobs.testing import JobsTest

As = Callable[[str], TestClient]


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of this test go."""
    monkeypatch.setenv(OUT_VARIABLE, str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture
def client(jobs_test: JobsTest) -> Iterator[TestClient]:
    """A program that talks to the shop; nobody has signed in."""
    with TestClient(app, client=("127.0.0.1", 50_000)) as client:
        yield client


@pytest.fixture
def browser(client: TestClient) -> As:
    """`browser("ada")`: what Ada's browser gets."""

    def signed_in(name: str) -> TestClient:
        # No `with`: `client` has started the app.
        other = TestClient(app, client=("127.0.0.1", 50_001), headers={"Accept": "text/html"})
        if name != GUEST:
            other.cookies.set(COOKIE, name)
        return other

    return signed_in
