"""POST /jobs/{id}/cancel and /retry."""

from uuid import uuid4

import pytest
from httpx2 import AsyncClient

from tests.api.conftest import Serve, create, finished, until


async def test_a_waiting_job_is_cancelled_at_once(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        record = await create(client, "add", 1)
        for _ in range(2):
            answer = await client.post(f"/jobs/{record['id']}/cancel")
            assert answer.status_code == 200
            assert answer.json()["status"] == "cancelled"
        assert answer.json()["reason"] == "cancelled on request"
        assert answer.json()["actions"] == ["retry", "delete"]


async def test_a_running_job_is_asked(client: AsyncClient) -> None:
    record = await create(client, "hang")

    async def runs() -> bool:
        return bool((await client.get(f"/jobs/{record['id']}")).json()["status"] == "running")

    await until(runs)
    answer = await client.post(f"/jobs/{record['id']}/cancel")
    assert answer.status_code in (200, 202)
    assert (answer.status_code == 200) == (answer.json()["status"] == "cancelled")
    assert answer.json()["cancel_requested_at"]
    assert (await finished(client, record["id"]))["status"] == "cancelled"
    assert (await client.post(f"/jobs/{record['id']}/cancel")).status_code == 200


async def test_a_running_job_of_another_process_is_asked_with_202(
    serve_jobs: Serve, database_url: str
) -> None:
    async with serve_jobs(dispatch=False) as front, serve_jobs() as runner:
        record = await create(runner, "hang")

        async def runs() -> bool:
            answer = await front.get(f"/jobs/{record['id']}")
            return bool(answer.json()["status"] == "running")

        await until(runs)
        answer = await front.post(f"/jobs/{record['id']}/cancel")
        assert answer.status_code in (200, 202)
        assert (await finished(front, record["id"]))["status"] == "cancelled"


@pytest.mark.parametrize(("task", "args"), [("add", (1,)), ("fail", ("x",))])
async def test_what_has_ended_cannot_be_cancelled(
    client: AsyncClient, task: str, args: tuple[object, ...]
) -> None:
    record = await finished(client, (await create(client, task, *args))["id"])
    answer = await client.post(f"/jobs/{record['id']}/cancel")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "illegal_move")
    assert problem["legal_actions"] == ["retry", "delete"]
    assert problem["job_status"] == record["status"]
    assert f"it is {record['status']}. Legal now: retry, delete." in problem["detail"]


async def test_a_finished_job_runs_again(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "add", 1))["id"])
    answer = await client.post(f"/jobs/{record['id']}/retry")
    assert answer.status_code == 200
    assert answer.json()["id"] == record["id"]
    again = await finished(client, record["id"])
    assert (again["status"], again["attempt"]) == ("succeeded", 2)
    assert len((await client.get(f"/jobs/{record['id']}/attempts")).json()) == 2


async def test_a_live_job_cannot_be_retried(client: AsyncClient) -> None:
    record = await create(client, "hang")
    answer = await client.post(f"/jobs/{record['id']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_move")
    assert answer.json()["legal_actions"][0] == "cancel"


async def test_a_retry_whose_unique_key_is_held_names_the_holder(client: AsyncClient) -> None:
    first = await create(client, "alone", 600)
    await client.post(f"/jobs/{first['id']}/cancel")
    await finished(client, first["id"])
    second = await create(client, "alone", 600)
    answer = await client.post(f"/jobs/{first['id']}/retry")
    assert answer.status_code == 409
    assert f"Its unique key is held by job {second['id']}." in answer.json()["detail"]


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_what_is_not_there_is_404_and_what_is_no_id_422(
    client: AsyncClient, action: str
) -> None:
    missing = await client.post(f"/jobs/{uuid4()}/{action}")
    malformed = await client.post(f"/jobs/seven/{action}")
    assert (missing.status_code, missing.json()["code"]) == (404, "job_not_found")
    assert (malformed.status_code, malformed.json()["errors"][0]["field"]) == (422, "id")
