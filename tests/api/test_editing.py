"""PATCH and DELETE /jobs/{id}; ETag, If-None-Match and If-Match."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from fastapi_jobs import Action
from tests.api.conftest import Serve, create, finished, until
from tests.api.tasks import PREFIX


async def patch(client: AsyncClient, job_id: object, body: object, **headers: str) -> Any:
    return await client.patch(f"/jobs/{job_id}", json=body, headers=headers)


async def later(client: AsyncClient) -> dict[str, Any]:
    """A job that nobody starts for an hour."""
    body = {"task": f"{PREFIX}.add", "args": [1], "options": {"run_after": 3600, "tags": ["old"]}}
    record: dict[str, Any] = (await client.post("/jobs", json=body)).json()
    return record


async def test_a_job_is_changed_before_it_starts(client: AsyncClient) -> None:
    record = await later(client)
    due = "2039-01-02T03:00:00+00:00"
    change = {"priority": 7, "queue": "mail", "run_after": due, "tags": ["a", "b"]}
    answer = await patch(client, record["id"], change)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert datetime.fromisoformat(changed.pop("run_after")) == datetime.fromisoformat(due)
    assert {key: changed[key] for key in ("priority", "queue", "tags")} == {
        key: change[key] for key in ("priority", "queue", "tags")
    }
    assert changed["status"] == "scheduled"
    same = {"priority", "queue", "tags", "run_after", "is_new"}
    assert {k: v for k, v in changed.items() if k not in same} == {
        k: v for k, v in record.items() if k not in same
    }
    tagged = [(await client.get("/jobs", params={"tag": tag})).json()["items"] for tag in "ab"]
    assert [[each["id"] for each in items] for items in tagged] == [[record["id"]]] * 2
    assert (await client.get("/jobs", params={"tag": "old"})).json()["items"] == []


async def test_what_is_absent_stays(client: AsyncClient) -> None:
    record = await later(client)
    changes: list[dict[str, Any]] = [{}, {"priority": 3}, {"tags": []}]
    for change in changes:
        answer = await patch(client, record["id"], change)
        assert answer.status_code == 200
        record = record | {"is_new": False} | change
        assert answer.json() == record


@pytest.mark.parametrize("moment", [None, 0, -5, "2020-01-01T00:00:00Z"])
async def test_a_job_that_is_due_now_runs(client: AsyncClient, moment: object) -> None:
    record = await later(client)
    assert (await patch(client, record["id"], {"run_after": moment})).status_code == 200
    assert (await finished(client, record["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"priority": 101}, "priority", "The nearest is 100."),
        ({"priority": "high"}, "priority", "valid integer (given 'high')"),
        ({"priority": None}, "priority", "valid integer (given None)"),
        ({"queue": "no way"}, "queue", "a queue name has 1 to 100 letters"),
        ({"queue": ""}, "queue", "a queue name has 1 to 100 letters"),
        ({"run_after": "soon"}, "run_after", "give seconds from now, or a time such as"),
        ({"run_after": "2030-01-01T00:00"}, "run_after", "the datetime is naive"),
        ({"run_after": 1e300}, "run_after", "beyond the calendar"),
        ({"tags": ["x" * 101]}, "tags", "a tag has 1 to 100 printable characters"),
        ({"tags": "x"}, "tags", "valid list"),
        ({"task": "other"}, "task", "not permitted"),
        ([], "body", "(given [])"),
    ],
)
async def test_a_malformed_change_is_422_naming_the_field(
    client: AsyncClient, body: object, field: str, sentence: str
) -> None:
    record = await later(client)
    answer = await patch(client, record["id"], body)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert [each["field"] for each in problem["errors"]] == [field]
    assert sentence in problem["detail"]
    assert (await client.get(f"/jobs/{record['id']}")).json() == record | {"is_new": False}


async def test_what_has_started_cannot_be_changed(client: AsyncClient) -> None:
    running = await create(client, "hang")
    ended = await finished(client, (await create(client, "add", 1))["id"])

    async def runs() -> bool:
        return bool((await client.get(f"/jobs/{running['id']}")).json()["status"] == "running")

    await until(runs)
    for record, status, legal in (
        (running, "running", ["cancel"]),
        (ended, "succeeded", ["retry", "delete"]),
    ):
        answer = await patch(client, record["id"], {"priority": 1})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "illegal_move")
        assert (problem["job_status"], problem["legal_actions"]) == (status, legal)
        assert f"Cannot edit job {record['id']}: it is {status}." in problem["detail"]


async def test_a_finished_job_is_deleted_with_all_that_is_its(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "chatty", 1))["id"])
    answer = await client.delete(f"/jobs/{record['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/attempts", "/logs", "/result"):
        assert (await client.get(f"/jobs/{record['id']}{path}")).status_code == 404
    again = await client.delete(f"/jobs/{record['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "job_not_found")


async def test_a_live_job_is_not_deleted(client: AsyncClient) -> None:
    record = await later(client)
    answer = await client.delete(f"/jobs/{record['id']}")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "illegal_move")
    assert (problem["job_status"], problem["legal_actions"]) == ("scheduled", ["cancel", "edit"])
    assert (await client.get(f"/jobs/{record['id']}")).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_what_is_not_there_is_404_and_what_is_no_id_422(
    client: AsyncClient, method: str
) -> None:
    for job_id, status, field in ((uuid4(), 404, None), ("seven", 422, "id")):
        answer = await client.request(method, f"/jobs/{job_id}", json={})
        assert answer.status_code == status
        if field:
            assert answer.json()["errors"][0]["field"] == field


async def test_the_actions_are_those_that_are_granted(serve_jobs: Serve) -> None:
    granted = set(Action)
    async with serve_jobs(permission=lambda r, action, job: action in granted) as client:
        record = await later(client)
        assert record["actions"] == ["cancel", "edit"]
        granted.discard(Action.EDIT)
        assert (await client.get(f"/jobs/{record['id']}")).json()["actions"] == ["cancel"]
        assert (await later(client))["actions"] == ["cancel"]
        cancelled = await client.post(f"/jobs/{record['id']}/cancel")
        assert cancelled.json()["actions"] == ["retry", "delete"]
        granted.discard(Action.RETRY)
        assert (await client.get(f"/jobs/{record['id']}")).json()["actions"] == ["delete"]


class TestETag:
    """Ask only for what is new; change only what one saw."""

    async def test_what_has_not_changed_is_304(self, client: AsyncClient) -> None:
        record = await later(client)
        path = f"/jobs/{record['id']}"
        first = await client.get(path)
        tag = first.headers["etag"]
        assert tag.startswith('"')
        for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            same = await client.get(path, headers={"If-None-Match": header})
            assert (same.status_code, same.content) == (304, b"")
            assert same.headers["etag"] == tag
        other = await client.get(path, headers={"If-None-Match": '"x"'})
        assert (other.status_code, other.json()) == (200, first.json())
        await patch(client, record["id"], {"priority": 1})
        now = await client.get(path, headers={"If-None-Match": tag})
        assert (now.status_code, now.json()["priority"]) == (200, 1)
        assert now.headers["etag"] != tag

    async def test_a_long_poll_with_a_tag_tells_of_the_end(self, client: AsyncClient) -> None:
        record = await create(client, "hang")
        path = f"/jobs/{record['id']}"
        tag = (await client.get(path)).headers["etag"]
        asked = client.get(path, params={"wait": 20}, headers={"If-None-Match": tag})
        poll = asyncio.create_task(asked)
        await client.post(f"{path}/cancel")
        answer = await poll
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")

    async def test_what_changed_meanwhile_is_412(self, client: AsyncClient) -> None:
        record = await later(client)
        path = f"/jobs/{record['id']}"
        tag = (await client.get(path)).headers["etag"]
        for header in (tag, "*", f'"x", {tag}'):
            kept = await patch(client, record["id"], {}, **{"If-Match": header})
            assert kept.status_code == 200
        for header in ('"x"', f"W/{tag}"):
            weak = await patch(client, record["id"], {"priority": 9}, **{"If-Match": header})
            assert weak.status_code == 412
        assert (await patch(client, record["id"], {"priority": 5})).status_code == 200
        answer = await patch(client, record["id"], {"priority": 6}, **{"If-Match": tag})
        assert (answer.status_code, answer.json()["code"]) == (412, "job_changed")
        assert answer.json()["detail"] == (
            f"Job {record['id']} has changed since you saw it. Look again, then decide."
        )
        assert (await client.get(path)).json()["priority"] == 5

    async def test_of_many_who_saw_the_same_one_wins(self, client: AsyncClient) -> None:
        record = await later(client)
        tag = (await client.get(f"/jobs/{record['id']}")).headers["etag"]
        wishes = [
            patch(client, record["id"], {"priority": number}, **{"If-Match": tag})
            for number in range(1, 9)
        ]
        found = sorted(each.status_code for each in await asyncio.gather(*wishes))
        assert found == [200] + [412] * 7
