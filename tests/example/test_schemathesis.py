"""Schemathesis over the whole example: its own endpoints and, behind its hooks, ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from example_project.people import COOKIE, STAFF
from tests.example.running import Example
from tests.fuzzing import Followed, followed, fuzz
from tests.servers import free_port, wait_until

CONFIG = Path(__file__).with_name("schemathesis.toml")
QUICK = {
    "FASTAPI_JOBS_MAX_WAIT": "0.05",
    "FASTAPI_JOBS_DURABILITY": "normal",
    # Hundreds of pictures and reports would only heat the machine.
    **{f"FASTAPI_JOBS_QUEUES__{q}__PAUSED": "true" for q in ("PICTURES", "COMPUTING", "REPORTS")},
}
SEEDS = range(1, 5)
JOB = "/jobs/{id}"
CANCEL, RETRY = f"POST {JOB}/cancel", f"POST {JOB}/retry"


@contextmanager
def served(folder: Path) -> Iterator[tuple[Example, httpx2.Client]]:
    """The example as it runs, and the staff as its client: nothing is forbidden to them."""
    port = free_port()
    with (
        Example(folder, "--port", str(port), "--jobs", "0", **QUICK) as example,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as staff,
    ):
        staff.cookies.set(COOKIE, STAFF)
        wait_until(lambda: answers(example, staff), 60)
        yield example, staff


def answers(example: Example, client: httpx2.Client) -> bool:
    assert example.process.poll() is None, example.output
    try:
        return client.get("/jobs/health").status_code == 200
    except httpx2.TransportError:
        return False


def follow(client: httpx2.Client, answer: httpx2.Response, name: str) -> httpx2.Response:
    """Go where the link of this name leads, as OpenAPI says."""
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    called = answer.request
    documented = next(
        operations[called.method.lower()]
        for path, operations in paths.items()
        if called.method.lower() in operations and _fits(path, called.url.path)
    )
    link = documented["responses"][str(answer.status_code)]["links"][name]
    field = link["parameters"]["id"].removeprefix("$response.body#/")
    [(method, path)] = [
        (method, path)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if operation["operationId"] == link["operationId"]
    ]
    body = {"priority": 7} if method == "patch" else None
    return client.request(method.upper(), path.format(id=answer.json()[field]), json=body)


def _fits(template: str, path: str) -> bool:
    parts = list(zip(template.split("/"), path.split("/"), strict=False))
    same_length = template.count("/") == path.count("/")
    return same_length and all(one in (other, "{id}") for one, other in parts)


@pytest.mark.slow
def test_every_answer_is_documented_and_true(tmp_path: Path) -> None:
    cookie, links = f"Cookie: {COOKIE}={STAFF}", set[Followed]()
    with served(tmp_path) as (example, staff):
        # Which links are followed depends on what the jobs have come to by then.
        for seed in SEEDS:
            options = ("-H", cookie, "--seed", str(seed))
            fuzz(str(staff.base_url), CONFIG, tmp_path, lambda: example.output, *options)
            links |= set(followed(tmp_path / "events.ndjson"))
            if not missing(links):
                break
    assert missing(links) == [], links


def missing(links: set[Followed]) -> list[str]:
    """What has to be followed and was not."""
    wanted = {
        to: any(each.to == to for each in links)
        for to in (f"GET {JOB}", f"PATCH {JOB}", f"DELETE {JOB}", CANCEL, RETRY)
    }
    wanted["a cancel that succeeds"] = any(
        (each.to, each.status) == (CANCEL, 200) for each in links
    )
    # Links of links: only a job that has ended can be deleted.
    wanted["from a cancelled job to its end"] = any(
        (each.origin, each.to) == (CANCEL, f"DELETE {JOB}") for each in links
    )
    return [each for each, was_followed in wanted.items() if not was_followed]


@pytest.mark.slow
def test_the_links_lead_from_a_new_job_to_its_end(tmp_path: Path) -> None:
    with served(tmp_path) as (_, staff):
        answer = staff.post("/fractals", params={"width": 3})
        assert answer.status_code == 202
        for name, status, found in (
            ("get", 200, "queued"),
            ("edit", 200, "queued"),
            ("cancel", 200, "cancelled"),
            ("retry", 200, "queued"),
            ("cancel", 200, "cancelled"),
        ):
            answer = follow(staff, answer, name)
            assert (answer.status_code, answer.json()["status"]) == (status, found), name
        assert answer.json()["priority"] == 7
        for name in ("attempts", "logs", "explain"):
            assert follow(staff, answer, name).status_code == 200
        assert follow(staff, answer, "result").status_code == 409
        assert follow(staff, answer, "delete").status_code == 204
        assert follow(staff, answer, "get").status_code == 404
