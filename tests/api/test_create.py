"""POST /jobs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from tests.api.conftest import Serve, create, finished
from tests.api.tasks import PREFIX


async def post(client: AsyncClient, body: object, **headers: str) -> Any:
    return await client.post("/jobs", json=body, headers=headers)


async def test_a_job_is_created_runs_and_shows_its_result(client: AsyncClient) -> None:
    answer = await post(client, {"task": f"{PREFIX}.add", "args": [1], "kwargs": {"b": 5}})
    assert answer.status_code == 202
    record = answer.json()
    assert answer.headers["location"] == f"/jobs/{record['id']}"
    assert record["is_new"] is True
    assert record["status"] in ("queued", "running")
    assert record["task"] == f"{PREFIX}.add"
    end = await finished(client, record["id"])
    assert (end["status"], end["result"], end["is_new"]) == ("succeeded", 6, False)
    assert end["actions"] == ["retry", "delete"]
    assert set(end) == set(record)
    assert datetime.fromisoformat(end["created_at"]).utcoffset() == timedelta(0)


async def test_arguments_come_from_json(client: AsyncClient) -> None:
    to = uuid4()
    address = {"street": "Elm", "since": "2020-02-03T00:00:00Z"}
    record = await create(client, "move", address, to=str(to))
    assert record["tags"] == ["model"]
    assert (await finished(client, record["id"]))["result"] == f"Elm 2020 {to}"


@pytest.mark.parametrize(
    ("body", "code", "field", "sentence"),
    [
        ({"task": f"{PREFIX}.add"}, "invalid_arguments", "a", "parameter 'a'"),
        (
            {"task": f"{PREFIX}.add", "args": ["x"]},
            "invalid_arguments",
            "a",
            "parameter 'a'",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "kwargs": {"c": 1}},
            "invalid_arguments",
            "c",
            "parameter 'c'",
        ),
        ({"args": [1]}, "invalid_request", "task", "Field required"),
        ({"task": f"{PREFIX}.add", "arg": [1]}, "invalid_request", "arg", "not permitted"),
        ({"task": f"{PREFIX}.add", "args": 3}, "invalid_request", "args", "(given 3)"),
        ([1], "invalid_request", "body", "(given [1])"),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"tag": ["x"]}},
            "invalid_option",
            "options.tag",
            "a request may set run_after, tags; see api_options. Did you mean 'tags'?",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"priority": 5}},
            "invalid_option",
            "options.priority",
            "priority=5: a request may set run_after, tags; see api_options.",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"owner": "me"}},
            "invalid_option",
            "options.owner",
            "owner='me': a request may set run_after, tags; see api_options.",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"tags": [[1]]}},
            "invalid_request",
            "options.tags.0",
            "valid string (given [1])",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"run_after": "2030-01-01T00:00"}},
            "invalid_option",
            "options.run_after",
            "the datetime is naive",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"run_after": "soon"}},
            "invalid_request",
            "options.run_after",
            "give seconds from now, or a time such as",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"run_after": "0001-01-01T00:00+09"}},
            "invalid_option",
            "options.run_after",
            "beyond the calendar",
        ),
        (
            {"task": f"{PREFIX}.add", "args": [1], "options": {"run_after": 1e300}},
            "invalid_request",
            "options.run_after",
            "beyond the calendar",
        ),
    ],
)
async def test_a_malformed_body_is_422_naming_the_field(
    client: AsyncClient, body: object, code: str, field: str, sentence: str
) -> None:
    answer = await post(client, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [each["field"] for each in problem["errors"]]
    assert sentence in problem["detail"]
    assert problem["status"] == 422
    assert (await client.get("/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"",
        b"null",
        b"[" * 100_000,
        b'{"task": "' + PREFIX.encode() + b'.echo", "args": ["\\ud800"]}',
        b'{"task": "\\ud800"}',
        b'{"task": "' + PREFIX.encode() + b'.add", "args": [NaN]}',
        b'{"task": "' + PREFIX.encode() + b'.echo", "args": [' + b"[" * 700 + b"]" * 700 + b"]}",
    ],
)
async def test_what_is_no_json_is_422(client: AsyncClient, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/jobs", content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        {"task": f"{PREFIX}.add", "kwargs": {f"k{i}": i for i in range(50_000)}},
        {"task": f"{PREFIX}.add", **{f"k{i}": i for i in range(50_000)}},
        {"task": f"{PREFIX}.add", "options": {"x" * 100_000: "y" * 100_000}},
        {"task": f"{PREFIX}.echo", "args": [["z" * 100_000]]},
        {"task": "t" * 1_000_000},
    ],
)
async def test_a_large_mistake_gets_a_small_answer(client: AsyncClient, body: object) -> None:
    answer = await post(client, body)
    assert answer.status_code == 422
    assert len(answer.content) < 60_000
    assert len(answer.json()["errors"]) <= 20


async def test_only_tasks_with_api_exist(client: AsyncClient) -> None:
    hidden = await post(client, {"task": f"{PREFIX}.secret", "args": [1]})
    nowhere = await post(client, {"task": f"{PREFIX}.secrex", "args": [1]})
    near = await post(client, {"task": f"{PREFIX}.ad", "args": [1]})
    for answer in (hidden, nowhere, near):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_task")
    assert f"Did you mean '{PREFIX}.secret'" not in nowhere.text
    assert f"No task '{PREFIX}.secret' can be enqueued here." in hidden.json()["detail"]
    assert f"Did you mean '{PREFIX}.add'?" in near.json()["detail"]


async def test_options_that_the_settings_open(serve_jobs: Serve) -> None:
    due = datetime(2039, 1, 2, 3, tzinfo=UTC)
    options = {
        "run_after": due.isoformat(),
        "tags": ["a", "b"],
        "queue": "mail",
        "priority": 7,
        "metadata": {"x": [1]},
        "expires": "2040-01-01T00:00:00Z",
    }
    async with serve_jobs(api_options=[*options]) as client:
        answer = await post(client, {"task": f"{PREFIX}.add", "args": [1], "options": options})
        record = answer.json()
        seen = (await client.get(answer.headers["location"])).json()
    assert record == seen | {"is_new": True}
    assert record["status"] == "scheduled"
    assert datetime.fromisoformat(record["run_after"]) == due
    assert record["expires_at"].startswith("2040-01-01")
    assert (record["tags"], record["queue"], record["priority"]) == (["a", "b"], "mail", 7)
    assert record["metadata"] == {"x": [1]}
    assert record["actions"] == ["cancel", "edit"]


async def test_a_payload_over_the_cap_is_413(serve_jobs: Serve) -> None:
    async with serve_jobs(max_payload=1000) as client:
        fits = await post(client, {"task": f"{PREFIX}.echo", "args": ["x" * 900]})
        over = await post(client, {"task": f"{PREFIX}.echo", "args": ["x" * 1001]})
        far = await post(client, {"task": f"{PREFIX}.echo", "args": ["x" * 1_000_000]})
    assert fits.status_code == 202
    for answer in (over, far):
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert "max_payload is 1,000" in over.json()["detail"]
    assert "The body is larger than 68,536 bytes" in far.json()["detail"]


async def test_a_full_queue_is_429(serve_jobs: Serve) -> None:
    async with serve_jobs(max_queued=2, dispatch=False) as client:
        for _ in range(2):
            await create(client, "add", 1)
        answer = await post(client, {"task": f"{PREFIX}.add", "args": [1]})
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1
    assert "max_queued = 2" in answer.json()["detail"]


async def test_a_duplicate_is_200_and_not_new(client: AsyncClient) -> None:
    first = await create(client, "alone", 600)
    answer = await post(client, {"task": f"{PREFIX}.alone", "args": [600]})
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["is_new"]) == (first["id"], False)
    assert answer.headers["location"] == f"/jobs/{first['id']}"
    assert "idempotent-replayed" not in answer.headers


async def test_a_rejected_duplicate_is_409(client: AsyncClient) -> None:
    await create(client, "jealous", 600)
    answer = await post(client, {"task": f"{PREFIX}.jealous", "args": [600]})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_job")


async def test_the_immediate_backend_answers_with_the_end(serve_jobs: Serve) -> None:
    async with serve_jobs(backend="immediate") as client:
        record = await create(client, "add", 1)
    assert (record["status"], record["result"], record["is_new"]) == ("succeeded", 3, True)


class TestIdempotencyKey:
    """The same request twice makes one job."""

    BODY: dict[str, Any] = {"task": f"{PREFIX}.add", "args": [1]}  # noqa: RUF012

    async def test_a_replay_is_the_first_job(self, client: AsyncClient) -> None:
        first = await post(client, self.BODY, **{"Idempotency-Key": "k"})
        await finished(client, first.json()["id"])
        second = await post(client, self.BODY, **{"Idempotency-Key": "k"})
        assert (first.status_code, second.status_code) == (202, 200)
        assert first.json()["id"] == second.json()["id"]
        assert second.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert second.json()["is_new"] is False
        assert second.headers["location"] == first.headers["location"]

    async def test_the_order_of_keys_does_not_matter(self, client: AsyncClient) -> None:
        headers = {"Idempotency-Key": "k", "content-type": "application/json"}
        body = json.dumps({"task": f"{PREFIX}.add", "kwargs": {"a": 1, "b": 2}})
        turned = f'{{"kwargs": {{"b": 2, "a":1}}, "task": "{PREFIX}.add"}}'
        first = await client.post("/jobs", content=body, headers=headers)
        second = await client.post("/jobs", content=turned, headers=headers)
        assert (first.status_code, second.status_code) == (202, 200)

    async def test_another_body_is_422(self, client: AsyncClient) -> None:
        await post(client, self.BODY, **{"Idempotency-Key": "k"})
        for other in ({"args": [2]}, {"options": {"tags": ["x"]}}):
            answer = await post(client, self.BODY | other, **{"Idempotency-Key": "k"})
            assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
            assert "Idempotency-Key 'k' was used with another body." in answer.json()["detail"]

    async def test_another_key_or_owner_is_another_job(self, serve_jobs: Serve) -> None:
        async with serve_jobs(owner=lambda request: request.headers["x-user"]) as client:
            ids = set()
            for key, user in [("k", "ann"), ("l", "ann"), ("k", "bob")]:
                answer = await post(client, self.BODY, **{"Idempotency-Key": key, "x-user": user})
                assert answer.status_code == 202
                assert answer.json()["owner"] == user
                ids.add(answer.json()["id"])
        assert len(ids) == 3

    async def test_it_is_forgotten_after_its_time(self, serve_jobs: Serve) -> None:
        async with serve_jobs(idempotency_ttl=0.000_001) as client:
            answers = [await post(client, self.BODY, **{"Idempotency-Key": "k"}) for _ in "ab"]
        assert [each.status_code for each in answers] == [202, 202]

    async def test_an_empty_or_long_key_is_422(self, client: AsyncClient) -> None:
        for key in ("", "x" * 256):
            answer = await post(client, self.BODY, **{"Idempotency-Key": key})
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == "Idempotency-Key"

    async def test_a_key_that_repeats_at_once_makes_one_job(self, client: AsyncClient) -> None:
        import asyncio

        posts = [post(client, self.BODY, **{"Idempotency-Key": "k"}) for _ in range(10)]
        answers = await asyncio.gather(*posts)
        assert sorted(each.status_code for each in answers) == [200] * 9 + [202]
        assert len({each.json()["id"] for each in answers}) == 1
