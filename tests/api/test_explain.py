"""GET /jobs/{id}/explain: the same words as on the command line, within the scope."""

import pytest
from fastapi import Request
from httpx2 import AsyncClient

from fastapi_jobs import Action, Job, Scope
from tests.api.conftest import Serve, create, finished, until
from tests.api.tasks import PREFIX

NOBODY = "00000000-0000-7000-8000-000000000000"


async def test_a_job_without_a_worker(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        record = await create(client, "add", 1)
        answer = await client.get(f"/jobs/{record['id']}/explain")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": record["id"],
        "task": f"{PREFIX}.add",
        "queue": "default",
        "status": "queued",
        "reasons": [
            {
                "code": "no_worker",
                "text": "No worker lives. Start the app, or: fastapi-jobs worker",
                "values": {"workers": []},
            }
        ],
    }


async def test_a_finished_job(client: AsyncClient) -> None:
    record = await finished(client, (await create(client, "fail", "oh"))["id"])
    [reason] = (await client.get(f"/jobs/{record['id']}/explain")).json()["reasons"]
    assert reason["code"] == "failed"
    assert "ValueError: oh" in reason["text"]


@pytest.mark.parametrize(("job_id", "status"), [(NOBODY, 404), ("seven", 422)])
async def test_what_is_not_there(client: AsyncClient, job_id: str, status: int) -> None:
    assert (await client.get(f"/jobs/{job_id}/explain")).status_code == status


def whoever(request: Request) -> str | None:
    """The owner in the header."""
    return request.headers.get("x-user")


def mine_only(request: Request) -> Scope:
    """Staff sees all, an owner what is theirs, a stranger nothing."""
    name = whoever(request)
    if name == "staff":
        return Scope.all()
    return Scope.owner(name) if name else Scope.none()


async def test_each_sees_no_more_than_their_scope(serve_jobs: Serve) -> None:
    options = {"scope": mine_only, "owner": whoever, "queues": {"default": {"max_running": 1}}}
    async with serve_jobs(**options) as client:

        async def post(user: str) -> str:
            body = {"task": f"{PREFIX}.hang"}
            answer = await client.post("/jobs", json=body, headers={"x-user": user})
            return str(answer.json()["id"])

        async def explain(job_id: str, user: str) -> tuple[int, str]:
            answer = await client.get(f"/jobs/{job_id}/explain", headers={"x-user": user})
            return answer.status_code, answer.text

        held = await post("bob")

        async def runs() -> bool:
            return '"code":"running"' in (await explain(held, "bob"))[1]

        await until(runs)
        waiting = await post("ann")
        status, said = await explain(waiting, "ann")
        assert status == 200
        assert "queue_full" in said
        assert held not in said
        assert held in (await explain(waiting, "staff"))[1]
        assert (await explain(waiting, "bob"))[0] == 404
        assert (await explain(waiting, ""))[0] == 404
        _, by_staff = await explain(held, "staff")
        _, by_owner = await explain(held, "bob")
        assert " on worker " in by_staff
        assert " on worker " not in by_owner


async def test_the_permission_hook_is_asked_with_the_job(serve_jobs: Serve) -> None:
    asked: list[tuple[Action, object]] = []

    def permission(request: Request, action: Action, job: Job[object] | None) -> bool:
        asked.append((action, job and str(job.id)))
        return action is not Action.READ

    async with serve_jobs(permission=permission, dispatch=False) as client:
        record = await create(client, "add", 1)
        answer = await client.get(f"/jobs/{record['id']}/explain")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert asked[-1] == (Action.READ, record["id"])
