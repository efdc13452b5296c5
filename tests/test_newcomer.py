"""The README's first pages as a newcomer takes them: three files in a folder, and `uvicorn`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.errors import DriverMissing, SettingsError
from fastapi_jobs.store.database import Database
from tests.servers import free_port, wait_until

README = Path(__file__).parent.parent / "README.md"
UVICORN = Path(sys.executable).with_name("uvicorn")
FILE = re.compile(r"```\w+\n# (\w+\.\w+)\n(.*?)```", re.DOTALL)


def first_files(folder: Path) -> None:
    """Write the files of the first example."""
    text = README.read_text("utf-8")
    part = text.partition("## Five minutes")[2].partition("## Growing")[0]
    for name, content in FILE.findall(part):
        (folder / name).write_text(content)
    assert {each.name for each in folder.iterdir()} == {"settings.toml", "tasks.py", "main.py"}


@contextmanager
def served(folder: Path, variables: Mapping[str, str]) -> Iterator[httpx2.Client]:
    """The app as the README starts it: by the program, which finds it in the working folder."""
    port, log = free_port(), folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [UVICORN, "main:app", "--port", str(port)],
            cwd=folder,
            env=os.environ | variables,
            stdout=file,
            stderr=file,
        )
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return client.get("/jobs/health").status_code == 200
            except httpx2.TransportError:
                return False

        try:
            wait_until(answers, 60)
            yield client
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("backend", ["asyncio", "process"])
def test_the_first_job(tmp_path: Path, backend: str) -> None:
    first_files(tmp_path)
    with served(tmp_path, {"FASTAPI_JOBS_BACKEND": backend}) as client:
        person = {"email": "ada@example.com", "name": "Ada"}
        job_id = client.post("/signup", params=person).json()["job_id"]
        job = client.get(f"/jobs/{job_id}", params={"wait": 30}).json()
        assert (job["status"], job["result"]) == ("succeeded", 3), job["error"]
        [attempt] = client.get(f"/jobs/{job_id}/attempts").json()
        assert attempt["backend"] == backend


UNINSTALLED = """
import sys
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in str(each)]
from fastapi_jobs.conf import load
print(load().backend)
"""


def test_in_the_folder_of_the_checkout() -> None:
    """There `import fastapi_jobs` finds the checkout, whatever is installed."""
    done = subprocess.run(
        [sys.executable, "-c", UNINSTALLED],
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("asyncio\n", "")


async def test_a_misspelt_task_module(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_errands.py").write_text("import not_installed_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    jobs = FastAPIJobs(database_url=sqlite_url, task_modules=["my_erands"])
    with pytest.raises(
        SettingsError, match=r"'my_erands'.*no such module\. Did you mean 'my_errand"
    ):
        await jobs.startup()
    # What a module of the host's imports is the host's own mistake.
    jobs = FastAPIJobs(database_url=sqlite_url, task_modules=["my_errands"])
    with pytest.raises(ModuleNotFoundError, match="not_installed_at_all"):
        await jobs.startup()


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DriverMissing, match=r"package 'psycopg'.*fastapi-jobs\[postgres\]"):
        Database("postgresql+psycopg://shop@localhost/shop")
