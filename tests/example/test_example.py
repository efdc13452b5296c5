"""The example does what it says, also after `kill -9`."""

import csv
import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from example_project.tasks.pictures import SIZES
from tests.example.running import Example, rows
from tests.servers import free_port, wait_until

HELD = {"FASTAPI_JOBS_QUEUES__REPORTS__PAUSED": "true"}
"""Something is left to do, however late one looks."""

ENDED = "SELECT task, status, result, attempt FROM fastapi_jobs_jobs"


@pytest.fixture
def port() -> str:
    return str(free_port())


def results(folder: Path, task: str) -> list[Any]:
    """The results of every job of this task, all of which have succeeded."""
    found = [row for row in rows(folder, ENDED) if str(row[0]).endswith(f".{task}")]
    assert {row[1] for row in found} == {"succeeded"}
    return [json.loads(str(row[2])) for row in found]


def check_results(folder: Path, each: int) -> None:
    """The pictures, reports and deliveries of a batch are really there."""
    thumbnails = [one for made in results(folder, "make_thumbnails") for one in made]
    assert len(thumbnails) == each * len(SIZES)
    for thumbnail in thumbnails:
        with Image.open(thumbnail["path"]) as picture:
            assert picture.size == (thumbnail["width"], thumbnail["height"])
            assert max(picture.size) in SIZES
    reports = results(folder, "write_sales_report")
    assert len({report["path"] for report in reports}) == each
    for report in reports:
        with Path(report["path"]).open(encoding="utf-8", newline="") as file:
            assert sum(1 for _ in csv.DictReader(file)) == report["orders"]
    assert len(results(folder, "deliver_webhook")) == each
    assert not list(folder.glob("out/**/*.part"))


@pytest.mark.slow
def test_the_first_batch_leaves_real_results(tmp_path: Path, port: str) -> None:
    with Example(tmp_path, "--once", "--port", port, "--jobs", "6") as example:
        assert example.end() == 0, example.output
    check_results(tmp_path, 2)
    # Refused twice each, so delivered at the third attempt.
    assert results(tmp_path, "deliver_webhook") == [{"status": 200, "attempts": 3}] * 2
    assert "6 jobs" in example.output
    assert "6 succeeded, 0 failed, 4 attempts were repeats" in example.output
    assert "log in as demo, password look-around" in example.output
    for place in ("/", "/jobs-admin", "/docs", "/jobs", "/jobs/0"):
        assert f"http://127.0.0.1:{port}{place}" in example.output
    progress = rows(tmp_path, "SELECT progress FROM fastapi_jobs_jobs WHERE queue = 'pictures'")
    assert {json.loads(str(row[0]))["done"] for row in progress} == {len(SIZES)}
    logged = rows(tmp_path, "SELECT message FROM fastapi_jobs_logs")
    assert any("report written" in str(row[0]) for row in logged)


@pytest.mark.slow
def test_a_failure_is_told_by_the_exit_code(tmp_path: Path, port: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thumbnails").write_text("a file where a folder should be")
    with Example(tmp_path, "--once", "--port", port, "--jobs", "3") as example:
        assert example.end() == 1
    assert "2 succeeded, 1 failed" in example.output


@contextmanager
def client(port: str) -> Iterator[httpx2.Client]:
    """A client of the example, once that answers."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        wait_until(lambda: answers(http), 60)
        yield http


def answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/jobs/health").status_code == 200
    except httpx2.TransportError:
        time.sleep(0.05)
        return False


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_nothing(tmp_path: Path, port: str) -> None:
    with Example(tmp_path, "--port", port, "--jobs", "12", **HELD) as first:
        wait_until(lambda: enough(tmp_path), 60)
        first.kill()
    before = {row[0] for row in rows(tmp_path, "SELECT id FROM fastapi_jobs_jobs")}
    with Example(tmp_path, "--once", "--port", port, "--jobs", "0") as second:
        assert second.end() == 0, second.output
    assert "jobs of an earlier start go on now." in second.output
    after = rows(tmp_path, "SELECT id, status FROM fastapi_jobs_jobs")
    assert dict(after) == dict.fromkeys(before, "succeeded")
    check_results(tmp_path, 4)


def enough(folder: Path) -> bool:
    """All jobs are stored, and one of them runs, or only what is held is left."""
    counted = Counter(row[1] for row in rows(folder, ENDED))
    time.sleep(0.01)
    is_idle = counted["queued"] + counted["succeeded"] == 12
    return counted.total() == 12 and (counted["running"] > 0 or is_idle)


@pytest.mark.slow
def test_the_endpoints_enqueue_and_the_pages_show_it(tmp_path: Path, port: str) -> None:
    with Example(tmp_path, "--port", port, "--jobs", "0") as example, client(port) as http:
        order: dict[str, str | int] = {"order": "A-7", "article": "tea", "pieces": 2}
        picture = {"file": ("mine.png", b"no picture at all", "image/png")}
        month: dict[str, str | int] = {"month": "2026-13", "orders": 10}
        started = [
            http.post("/pictures", params={"number": 3}),
            http.post("/pictures", files=picture),
            http.post("/reports", params=month | {"month": "2026-02"}),
            http.post("/reports", params=month),
            http.post("/orders", params=order),
        ]
        assert [answer.status_code for answer in started] == [202] * 5
        ended = [http.get(a.json()["url"], params={"wait": 30}).json() for a in started]
        good, bad = "succeeded", "failed"
        assert [job["status"] for job in ended] == [good, bad, good, bad, good]
        assert "is not a picture that Pillow can read." in ended[1]["error"]
        assert "'2026-13' is no month; write it as 2026-01." in ended[3]["error"]
        received = http.get("/receiver").json()
        assert received == {ended[4]["id"]: {"event": order, "tries": 3}}
        assert http.post("/pictures", files={"file": ("a.txt", b"")}).status_code == 422
        page = http.get("/").text
        assert all(f'href="/jobs/{job["id"]}"' in page for job in ended)
        assert http.get("/static/style.css").status_code == 200
        assert http.get("/docs").status_code == 200
        example.interrupt()
        assert example.end() == 0, example.output
    assert "Traceback" not in example.output


@pytest.mark.slow
def test_ctrl_c_in_the_batch_is_clean(tmp_path: Path, port: str) -> None:
    with Example(tmp_path, "--port", port, "--jobs", "12", **HELD) as example:
        wait_until(lambda: enough(tmp_path), 60)
        example.interrupt()
        assert example.end() == 0
    assert "go on at the next start." in example.output
    assert "Traceback" not in example.output


def test_a_wrong_setting_is_a_sentence(tmp_path: Path, port: str) -> None:
    with Example(tmp_path, "--port", port, FASTAPI_JOBS_BACKEND="treads") as example:
        assert example.end() == 2
    assert 'backend = "treads" (variable FASTAPI_JOBS_BACKEND)' in example.output
    assert "Did you mean 'thread'?" in example.output
    assert "Traceback" not in example.output


def test_a_database_that_is_away_is_a_sentence(tmp_path: Path, port: str) -> None:
    away = f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/none"
    with Example(tmp_path, "--port", port, FASTAPI_JOBS_DATABASE_URL=away) as example:
        assert example.end() == 2
    assert f"The database {away} cannot be used now" in " ".join(example.output.split())
    assert "Traceback" not in example.output


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Example(tmp_path, "--port", str(port)) as example:
            assert example.end() == 2
    assert f"Port {port} of 127.0.0.1 is in use" in example.output
    assert not (tmp_path / "jobs.db").exists()
