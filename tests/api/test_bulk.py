"""POST /jobs/bulk."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from fastapi_jobs import Action, Scope
from fastapi_jobs.api import many as many_module
from tests.api.conftest import Serve, create, finished, until
from tests.api.tasks import PREFIX


async def bulk(client: AsyncClient, action: str, which: dict[str, Any], **more: Any) -> Any:
    answer = await client.post("/jobs/bulk", json={"action": action, "filter": which, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def statuses(client: AsyncClient, **params: Any) -> dict[str, str]:
    answer = await client.get("/jobs", params={"limit": 200, **params})
    return {each["id"]: each["status"] for each in answer.json()["items"]}


async def made(client: AsyncClient, *tags: str, count: int = 1, run_after: float = 0) -> list[str]:
    body: dict[str, Any] = {"task": f"{PREFIX}.add", "args": [1]}
    body["options"] = {"tags": list(tags), "run_after": run_after}
    answers = [await client.post("/jobs", json=body) for _ in range(count)]
    return [each.json()["id"] for each in answers]


def counts(**given: Any) -> dict[str, Any]:
    return {"done": 0, "asked": 0, "refused": 0, "remaining": 0, "next_cursor": None} | given


async def test_many_are_cancelled_run_again_and_deleted(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        mine = await made(client, "x", count=3) + await made(client, "x", count=2, run_after=60)
        others = await made(client, "y", count=2)
        assert await bulk(client, "cancel", {"tag": "x"}) == counts(done=5)
        found = await statuses(client)
        assert {found[each] for each in mine} == {"cancelled"}
        assert {found[each] for each in others} == {"queued"}
        assert await bulk(client, "cancel", {"tag": "x"}) == counts()
        assert await bulk(client, "retry", {"status": ["cancelled", "queued"]}) == counts(done=5)
        assert set((await statuses(client)).values()) == {"queued"}
        assert await bulk(client, "delete", {"tag": "x"}) == counts()
        await bulk(client, "cancel", {"task": f"{PREFIX}.add"})
        assert await bulk(client, "delete", {"tag": "x"}) == counts(done=5)
        assert list(await statuses(client)) == others[::-1]


async def test_running_ones_are_asked(client: AsyncClient) -> None:
    record = await create(client, "hang")

    async def runs() -> bool:
        return bool((await client.get(f"/jobs/{record['id']}")).json()["status"] == "running")

    await until(runs)
    assert await bulk(client, "cancel", {"task": f"{PREFIX}.hang"}) == counts(asked=1)
    assert (await finished(client, record["id"]))["status"] == "cancelled"


async def test_call_after_call(serve_jobs: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_module, "CHUNK", 2)
    async with serve_jobs(dispatch=False) as client:
        jobs = await made(client, "x", count=8)
        first = await bulk(client, "cancel", {"tag": "x"}, limit=5)
        cursor = first.pop("next_cursor")
        assert first == {"done": 5, "asked": 0, "refused": 0, "remaining": 3}
        found = await statuses(client, status="cancelled")
        assert sorted(found) == sorted(jobs[:5])
        rest = await bulk(client, "cancel", {"tag": "x"}, limit=5, cursor=cursor)
        assert rest == counts(done=3)


async def test_a_call_ends_although_it_finds_little(
    serve_jobs: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_module, "CHUNK", 1)
    monkeypatch.setattr(many_module, "MOST_PAGES", 3)
    async with serve_jobs(dispatch=False) as client:
        await made(client, "x", count=5)
        first = await bulk(client, "cancel", {"tag": "x"})
        assert (first["done"], first["remaining"]) == (3, 2)
        second = await bulk(client, "cancel", {"tag": "x"}, cursor=first["next_cursor"])
        assert second == counts(done=2)


async def test_those_whose_unique_key_is_held_are_refused(serve_jobs: Serve) -> None:
    async with serve_jobs(dispatch=False) as client:
        old = await create(client, "alone", 600)
        await client.post(f"/jobs/{old['id']}/cancel")
        held = await create(client, "alone", 600)
        free = await create(client, "add", 1)
        await client.post(f"/jobs/{free['id']}/cancel")
        answer = await bulk(client, "retry", {"status": ["cancelled"]})
        assert answer == counts(done=1, refused=1)
        assert await statuses(client) == {
            free["id"]: "queued",
            held["id"]: "queued",
            old["id"]: "cancelled",
        }


async def test_the_hook_is_asked_of_each_job(serve_jobs: Serve) -> None:
    def permission(request: Any, action: Action, job: Any) -> bool:
        return action is not Action.CANCEL or job is None or "keep" not in job.tags

    async with serve_jobs(dispatch=False, permission=permission) as client:
        kept = await made(client, "keep")
        await made(client, "go")
        assert await bulk(client, "cancel", {"status": ["queued"]}) == counts(done=1, refused=1)
        assert list(await statuses(client, status="queued")) == kept


async def test_only_what_is_in_the_scope(serve_jobs: Serve) -> None:
    def scope(request: Any) -> Scope:
        user = request.headers.get("x-user")
        return Scope.owner(user) if user else Scope.none()

    async with serve_jobs(
        dispatch=False, scope=scope, owner=lambda request: request.headers.get("x-user")
    ) as client:
        for user in ("ann", "bob"):
            client.headers["x-user"] = user
            await made(client, "x", count=2)
        for which in ({"tag": "x", "owner": "ann"}, {"owner": "ann"}):
            assert await bulk(client, "cancel", which) == counts()
        assert await bulk(client, "cancel", {"tag": "x"}) == counts(done=2)
        del client.headers["x-user"]
        assert await bulk(client, "cancel", {"tag": "x"}) == counts()
        client.headers["x-user"] = "ann"
        assert set((await statuses(client)).values()) == {"queued"}


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"filter": {"tag": "x"}}, "action", "Field required"),
        ({"action": "pause", "filter": {"tag": "x"}}, "action", "'cancel', 'retry' or 'delete'"),
        ({"action": "cancel"}, "filter", "Field required"),
        ({"action": "cancel", "filter": {}}, "filter", "name at least one condition, such as"),
        ({"action": "cancel", "filter": {"status": []}}, "filter.status", "at least 1 item"),
        ({"action": "cancel", "filter": {"tag": None}}, "filter.tag", "(given None)"),
        ({"action": "cancel", "filter": {"tags": "x"}}, "filter.tags", "not permitted"),
        ({"action": "cancel", "filter": {"tag": ""}}, "filter.tag", "at least 1 character"),
        ({"action": "cancel", "filter": {"tag": "\x00"}}, "filter.tag", "printable characters"),
        ({"action": "cancel", "filter": {"status": ["done"]}}, "filter.status.0", "(given 'done')"),
        (
            {"action": "cancel", "filter": {"created_after": "yesterday"}},
            "filter.created_after",
            "valid datetime",
        ),
        (
            {"action": "retry", "filter": {"created_before": 0}},
            "filter.created_before",
            "give a time",
        ),
        ({"action": "cancel", "filter": {"tag": "x"}, "limit": 1001}, "limit", "equal to 1000"),
        ({"action": "cancel", "filter": {"tag": "x"}, "cursor": "?"}, "cursor", "not one of ours"),
    ],
)
async def test_a_malformed_wish_is_422_naming_the_field(
    client: AsyncClient, body: object, field: str, sentence: str
) -> None:
    answer = await client.post("/jobs/bulk", json=body)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert [each["field"] for each in problem["errors"]] == [field], problem
    assert sentence in problem["detail"]
