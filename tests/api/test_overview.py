"""GET /jobs/stats, /queues and /workers; pause and resume."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from fastapi_jobs import Action, Scope
from tests.api.conftest import Serve, create, finished, until
from tests.api.tasks import PREFIX


async def get(client: AsyncClient, path: str, **headers: str) -> Any:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def enqueue(client: AsyncClient, user: str = "ann", **options: Any) -> dict[str, Any]:
    body = {"task": f"{PREFIX}.add", "args": [1], "options": options}
    answer = await client.post("/jobs", json=body, headers={"x-user": user})
    assert answer.status_code == 202, answer.text
    record: dict[str, Any] = answer.json()
    return record


def queue_named(name: str, queues: list[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in queues if each["name"] == name)


OPEN = {"api_options": ["queue", "run_after"]}


async def test_the_figures(client: AsyncClient) -> None:
    for name, args in (("add", [1]), ("add", [2]), ("fail", ["x"])):
        await finished(client, (await create(client, name, *args))["id"])
    await enqueue(client, run_after=3600)
    running = await create(client, "hang")

    async def runs() -> bool:
        record = (await client.get(f"/jobs/{running['id']}")).json()
        return bool(record["status"] == "running")

    await until(runs)
    found = await get(client, "/jobs/stats")
    assert found["counts"] == {
        "blocked": 0,
        "scheduled": 1,
        "queued": 0,
        "running": 1,
        "succeeded": 2,
        "failed": 1,
        "cancelled": 0,
    }
    assert found["finished"] == {"seconds": 300.0, "succeeded": 2, "failed": 1, "cancelled": 0}
    assert found["queues"] == [
        {"name": "default", "scheduled": 1, "queued": 0, "running": 1, "oldest_due_at": None}
    ]
    assert found["count_cap"] == 10_000


async def test_since_when_the_oldest_has_waited(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False, **OPEN) as client:
        oldest = await enqueue(client, queue="mail")
        await enqueue(client, queue="mail")
        found = queue_named("mail", (await get(client, "/jobs/stats"))["queues"])
        assert (found["queued"], found["oldest_due_at"]) == (2, oldest["created_at"])


async def test_a_queue_is_paused_and_resumed(serve_jobs: Serve) -> None:
    async with serve_jobs(owner=lambda request: request.headers.get("x-user"), **OPEN) as client:
        client.headers["x-user"] = "ann"
        begun = datetime.now(UTC)
        answer = await client.post("/jobs/queues/default/pause", json={"reason": "The flood"})
        paused = answer.json()
        assert answer.status_code == 200
        assert (paused["name"], paused["paused"]) == ("default", True)
        assert (paused["paused_by"], paused["pause_reason"]) == ("ann", "The flood")
        assert datetime.fromisoformat(paused["paused_at"]) >= begun
        record = await enqueue(client)
        assert (await get(client, f"/jobs/{record['id']}?wait=0.3"))["status"] == "queued"
        assert queue_named("default", await get(client, "/jobs/queues")) == paused | {
            "queued": 1,
            "oldest_due_at": record["created_at"],
        }
        resumed = (await client.post("/jobs/queues/default/resume")).json()
        assert (resumed["paused"], resumed["paused_by"], resumed["pause_reason"]) == (
            False,
            None,
            None,
        )
        assert (await finished(client, record["id"]))["status"] == "succeeded"


async def test_a_pause_needs_no_reason(client: AsyncClient) -> None:
    requests: list[dict[str, Any]] = [{}, {"json": None}, {"json": {}}]
    for request in requests:
        answer = await client.post("/jobs/queues/parcels/pause", **request)
        assert (answer.status_code, answer.json()["pause_reason"]) == (200, None), answer.text


async def test_queues_as_settings_and_people_have_them(serve_jobs: Serve, tmp_path: Path) -> None:
    queues = {"reports": {"max_running": 2, "priority": 5, "paused": True, "backend": "thread"}}
    async with serve_jobs(dispatch=False, queues=queues, **OPEN) as client:
        await enqueue(client, queue="seldom")
        found = {each["name"]: each for each in await get(client, "/jobs/queues")}
        assert set(found) >= {"default", "parcels", "reports", "seldom"}
        reports = found["reports"]
        assert {key: reports[key] for key in queues["reports"]} == queues["reports"]
        assert (reports["paused_at"], reports["queued"]) == (None, 0)
        assert found["seldom"]["queued"] == 1
        resumed = (await client.post("/jobs/queues/reports/resume")).json()
        assert (resumed["paused"], resumed["max_running"]) == (False, 2)


async def test_a_misspelt_queue_is_404(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False, **OPEN) as client:
        await enqueue(client, queue="seldom")
        assert (await client.post("/jobs/queues/seldom/pause")).status_code == 200
        for action in ("pause", "resume"):
            answer = await client.post(f"/jobs/queues/parcel/{action}")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_queue")
            assert answer.json()["detail"] == (
                "There is no queue 'parcel'. Did you mean 'parcels'?"
            )
            odd = await client.post(f"/jobs/queues/%00/{action}")
            assert (odd.status_code, odd.json()["code"]) == (404, "unknown_queue")
        assert "parcel" not in {each["name"] for each in await get(client, "/jobs/queues")}


async def test_a_malformed_reason_is_422(client: AsyncClient) -> None:
    for body, field in (({"reason": 5}, "reason"), ({"why": "x"}, "why"), ([], "body")):
        answer = await client.post("/jobs/queues/default/pause", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_the_workers(client: AsyncClient) -> None:
    [worker] = await get(client, "/jobs/workers")
    assert "asyncio" in worker["backends"]
    assert set(worker["slots"]) == set(worker["backends"])
    assert worker["slots"]["asyncio"] >= 1
    assert worker["running"] == 0


async def test_an_owner_sees_figures_of_their_own(serve_jobs: Serve) -> None:
    def scope(request: Any) -> Scope:
        user = request.headers.get("x-user")
        return Scope.all() if user == "root" else Scope.owner(user) if user else Scope.none()

    async with serve_jobs(
        dispatch=False,
        scope=scope,
        owner=lambda request: request.headers.get("x-user"),
        **OPEN,
    ) as client:
        await enqueue(client, "ann", queue="of-ann")
        await enqueue(client, "bob", queue="of-bob")
        done = await enqueue(client, "bob", queue="both")
        await client.post(f"/jobs/{done['id']}/cancel", headers={"x-user": "bob"})
        later = await enqueue(client, "ann", queue="both", run_after=60)
        await client.post(
            "/jobs/queues/both/pause", json={"reason": "secret"}, headers={"x-user": "root"}
        )
        ann = await get(client, "/jobs/stats", **{"x-user": "ann"})
        assert (ann["counts"]["queued"], ann["counts"]["scheduled"]) == (1, 1)
        assert ann["counts"]["cancelled"] == ann["finished"]["cancelled"] == 0
        assert [each["name"] for each in ann["queues"]] == ["both", "of-ann"]
        assert ann["queues"][0]["scheduled"] == 1
        assert later["status"] == "scheduled"
        bob = await get(client, "/jobs/stats", **{"x-user": "bob"})
        assert (bob["counts"]["queued"], bob["finished"]["cancelled"]) == (1, 1)
        assert [each["name"] for each in bob["queues"]] == ["of-bob"]
        queues = await get(client, "/jobs/queues", **{"x-user": "ann"})
        assert [each["name"] for each in queues] == ["both", "of-ann"]
        assert queues[0]["paused"] is True
        assert (queues[0]["paused_by"], queues[0]["pause_reason"]) == (None, None)
        nobody = await get(client, "/jobs/stats")
        assert not any(nobody["counts"].values())
        assert nobody["queues"] == await get(client, "/jobs/queues") == []
        root = await get(client, "/jobs/stats", **{"x-user": "root"})
        assert (root["counts"]["queued"], root["counts"]["cancelled"]) == (2, 1)
        assert {"of-ann", "of-bob"} <= {each["name"] for each in root["queues"]}


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/jobs/workers", Action.WORKERS),
        ("POST", "/jobs/queues/default/pause", Action.PAUSE),
        ("POST", "/jobs/queues/default/resume", Action.RESUME),
    ],
)
async def test_what_concerns_everybody_needs_the_scope_of_all(
    serve_jobs: Serve, method: str, path: str, action: Action
) -> None:
    async with serve_jobs(scope=lambda request: Scope.owner("ann")) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "It concerns the jobs of every owner." in answer.json()["detail"]
        assert (await get(client, "/jobs/health")) == {"status": "ok"}
    async with serve_jobs(permission=lambda r, asked, job: asked is not action) as client:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
