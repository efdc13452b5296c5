"""GET /jobs, /jobs/{id} and its attempts."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from tests.api.conftest import Serve, create, finished
from tests.api.tasks import PREFIX


async def test_a_long_poll_wakes_with_the_end(client: AsyncClient) -> None:
    record = await create(client, "short", 0.3)
    begun = time.monotonic()
    seen = (await client.get(f"/jobs/{record['id']}", params={"wait": 60})).json()
    took = time.monotonic() - begun
    assert (seen["status"], seen["result"]) == ("succeeded", "done")
    assert took < 40


async def test_a_long_poll_wakes_with_an_end_elsewhere(
    serve_jobs: Serve, database_url: str
) -> None:
    async with (
        serve_jobs(dispatch=False, name="front") as front,
        serve_jobs(name="runner") as _runner,
    ):
        record = await create(front, "short", 0.1)
        seen = await finished(front, record["id"])
        assert seen["result"] == "done"
        health = (await front.get("/jobs/health")).json()
        assert (health["dispatcher"], len(health["workers"])) == ("off", 1)


async def test_a_wait_that_is_over_shows_the_job_as_it_is(client: AsyncClient) -> None:
    record = await create(client, "hang")
    begun = time.monotonic()
    answer = await client.get(f"/jobs/{record['id']}", params={"wait": 0.2})
    assert answer.status_code == 200
    assert answer.json()["finished_at"] is None
    assert 0.15 < time.monotonic() - begun < 60


async def test_a_wait_is_limited_by_max_wait(serve_jobs: Serve) -> None:
    async with serve_jobs(max_wait=0.1) as client:
        record = await create(client, "hang")
        begun = time.monotonic()
        await client.get(f"/jobs/{record['id']}", params={"wait": 3600})
        assert time.monotonic() - begun < 600


async def test_many_wait_for_one_job(client: AsyncClient) -> None:
    record = await create(client, "short", 0.2)
    seen = await asyncio.gather(*(finished(client, record["id"]) for _ in range(30)))
    assert {each["result"] for each in seen} == {"done"}


async def test_a_failed_job_shows_its_error(client: AsyncClient) -> None:
    record = await create(client, "fail", "no\x00 way")
    seen = await finished(client, record["id"])
    assert (seen["status"], seen["result"]) == ("failed", None)
    assert "ValueError: no" in seen["error"]


async def test_the_attempts_of_a_job(client: AsyncClient) -> None:
    record = await create(client, "fail", "broken")
    await finished(client, record["id"])
    answer = await client.get(f"/jobs/{record['id']}/attempts")
    [attempt] = answer.json()
    assert answer.status_code == 200
    assert (attempt["number"], attempt["outcome"]) == (1, "failed")
    assert attempt["backend"] == "asyncio"
    assert attempt["error_type"] == "ValueError"
    assert "raise ValueError(text)" in attempt["traceback"]


@pytest.mark.parametrize("path", ["", "/attempts"])
async def test_an_id_of_no_job_is_404(client: AsyncClient, path: str) -> None:
    job_id = uuid4()
    answer = await client.get(f"/jobs/{job_id}{path}")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (404, "job_not_found")
    assert problem["detail"] == f"There is no job {job_id}."


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs/seven", "id"),
        ("/jobs/seven/attempts", "id"),
        ("/jobs?status=done", "status.0"),
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=201", "limit"),
        ("/jobs?limit=x", "limit"),
        ("/jobs?order=random", "order"),
        ("/jobs?cursor=nonsense", "cursor"),
        ("/jobs?cursor=", "cursor"),
        ("/jobs?cursor=%00", "cursor"),
        ("/jobs?cursor=AAAAAAAAAAAAAAAAAAAA%C3%A4A", "cursor"),
        ("/jobs?task=", "task"),
        ("/jobs?task=%00", "task"),
        ("/jobs?queue=a%00", "queue"),
        ("/jobs?tag=%ED%A0%80%00", "tag"),
        ("/jobs?owner=%0A", "owner"),
        ("/jobs?task=" + "x" * 201, "task"),
        ("/jobs?created_after=yesterday", "created_after"),
        ("/jobs?created_after=2026-01-01T00:00:00", "created_after"),
        ("/jobs?created_after=0", "created_after"),
        ("/jobs?created_after=-1.5", "created_after"),
        ("/jobs?created_before=0001-01-01T00:00:00Z", "created_before"),
        ("/jobs?created_before=9999-12-31T23:59:59-11:00", "created_before"),
        ("/jobs?statuss=failed", "statuss"),
    ],
)
async def test_what_is_malformed_is_422_naming_the_field(
    client: AsyncClient, path: str, field: str
) -> None:
    answer = await client.get(path)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["field"] for each in problem["errors"]] == [field], problem


@pytest.mark.parametrize("wait", ["-1", "nan", "inf", "long", ""])
async def test_a_malformed_wait_is_422(client: AsyncClient, wait: str) -> None:
    record = await create(client, "add", 1)
    answer = await client.get(f"/jobs/{record['id']}?wait={wait}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "wait")


async def test_a_misspelt_filter_is_told_the_right_one(client: AsyncClient) -> None:
    detail = (await client.get("/jobs?tags=x")).json()["detail"]
    assert detail == "tags: There is no such filter. Did you mean 'tag'? (given 'x')"
    assert (await client.get("/jobs?api_key=x")).status_code == 200


async def listed(client: AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_filters(serve_jobs: Serve) -> None:
    options = ["queue", "tags", "run_after"]
    async with serve_jobs(
        dispatch=False, api_options=options, owner=lambda request: request.headers.get("x-user")
    ) as client:
        bodies: list[tuple[str, dict[str, Any], str]] = [
            ("add", {}, "ann"),
            ("add", {"queue": "mail", "tags": ["x"]}, "bob"),
            ("echo", {"tags": ["x", "y"]}, "ann"),
            ("echo", {"run_after": 3600}, "bob"),
        ]
        records = []
        for name, given, user in bodies:
            body = {"task": f"{PREFIX}.{name}", "args": [1], "options": given}
            if name == "echo":
                body["args"] = ["text"]
            answer = await client.post("/jobs", json=body, headers={"x-user": user})
            records.append(answer.json())
            await asyncio.sleep(0.005)  # no two in one millisecond, for the filters by time
        one, two, three, four = (each["id"] for each in records)
        assert await listed(client) == [four, three, two, one]
        assert await listed(client, order="oldest") == [one, two, three, four]
        assert await listed(client, status="scheduled") == [four]
        assert await listed(client, status=["scheduled", "queued"], limit=2) == [four, three]
        assert await listed(client, task=f"{PREFIX}.add") == [two, one]
        assert await listed(client, queue="mail") == [two]
        assert await listed(client, tag="x") == [three, two]
        assert await listed(client, tag="x", task=f"{PREFIX}.add") == [two]
        assert await listed(client, owner="ann") == [three, one]
        assert await listed(client, owner="ann", status="scheduled") == []
        assert await listed(client, created_after=records[2]["created_at"]) == [four, three]
        assert await listed(client, created_before=records[1]["created_at"]) == [one]
        assert await listed(client, task="nowhere") == []


async def test_pages(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        made = [(await create(client, "add", 1))["id"] for _ in range(7)]
        for order, expected in (("newest", made[::-1]), ("oldest", made)):
            seen, cursor = [], None
            while True:
                params: dict[str, Any] = {"limit": 3, "order": order}
                if cursor:
                    params["cursor"] = cursor
                page = (await client.get("/jobs", params=params)).json()
                seen += [each["id"] for each in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                await create(client, "add", 1) if order == "newest" else None
            assert seen[:7] == expected
        [last] = (await client.get("/jobs", params={"limit": 1})).json()["items"]
        assert "result" not in last
        assert last["actions"] == ["cancel", "edit"]
