"""GET /jobs/{id}/logs and /result."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from tests.api.conftest import Serve, create, finished


async def logs(client: AsyncClient, job_id: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/jobs/{job_id}/logs", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_the_lines_of_an_attempt_page_by_page(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "chatty", 7))["id"])
    for attempt, params in ((2, {}), (1, {"attempt": 1}), (2, {"attempt": 2})):
        seen, after = [], 0
        while True:
            page = await logs(client, record["id"], limit=3, after=after, **params)
            assert page["attempt"] == attempt
            assert len(page["items"]) <= 3
            seen += page["items"]
            if page["next_after"] is None:
                break
            after = page["next_after"]
        assert [each["number"] for each in seen] == [1, 2, 3, 4, 5, 6, 7]
        assert [each["message"] for each in seen] == [
            f"line {number} of attempt {attempt}" for number in range(7)
        ]
    assert seen[3]["fields"] == {"number": 3}
    assert seen[3]["level"] == "INFO"


async def test_what_comes_later_is_read_from_where_one_was(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "chatty", 3))["id"])
    assert (await logs(client, record["id"], after=3))["items"] == []
    assert [each["number"] for each in (await logs(client, record["id"], after=2))["items"]] == [3]


async def test_no_lines(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        record = await create(client, "add", 1)
        empty = {"attempt": 0, "items": [], "next_after": None}
        assert await logs(client, record["id"]) == empty
        assert await logs(client, record["id"], attempt=9) == empty | {"attempt": 9}


async def test_fields_that_were_stored_cut_are_shown(client: AsyncClient) -> None:
    record = await create(client, "shout", "x" * 100_000)
    await finished(client, record["id"])
    [line] = (await logs(client, record["id"]))["items"]
    assert line["fields"]["cut"].startswith('{"text":"xxx')


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("attempt=0", "attempt"),
        ("attempt=x", "attempt"),
        ("attempt=99999999999", "attempt"),
        ("after=-1", "after"),
        ("after=99999999999", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
    ],
)
async def test_a_malformed_page_is_422(client: AsyncClient, query: str, field: str) -> None:
    record = await create(client, "add", 1)
    answer = await client.get(f"/jobs/{record['id']}/logs?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_the_result_as_it_is(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "echo", "grüße\n"))["id"])
    answer = await client.get(f"/jobs/{record['id']}/result")
    assert (answer.status_code, answer.json()) == (200, "grüße\n")
    assert answer.headers["content-type"] == "application/json"
    nothing = await finished(client, (await create(client, "short", 0))["id"])
    assert (await client.get(f"/jobs/{nothing['id']}/result")).text == '"done"'


async def test_a_result_of_nothing_is_null(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "alone", 0))["id"])
    answer = await client.get(f"/jobs/{record['id']}/result")
    assert (answer.status_code, answer.text) == (200, "null")


async def test_without_success_there_is_no_result(client: AsyncClient) -> None:
    failed = await finished(client, (await create(client, "fail", "no"))["id"])
    waiting = await client.post(
        "/jobs", json={"task": "tests.api.tasks.add", "args": [1], "options": {"run_after": 3600}}
    )
    for record, status, legal in (
        (failed, "failed", ["retry", "delete"]),
        (waiting.json(), "scheduled", ["cancel", "edit"]),
    ):
        answer = await client.get(f"/jobs/{record['id']}/result")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "no_result")
        assert (problem["job_status"], problem["legal_actions"]) == (status, legal)
        assert problem["detail"] == (
            f"Job {record['id']} is {status}; only a succeeded job has a result."
        )
