"""Every route, as a stranger, the owner, another owner and staff meet it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fastapi import Request
from fastapi.routing import APIRoute
from httpx2 import AsyncClient, Response

from fastapi_jobs import Action, Scope
from tests.api.conftest import Serve, make_jobs
from tests.api.tasks import PREFIX

WHO = ("stranger", "ann", "bob", "root")
"""ann owns the jobs; bob owns some of his own; root is staff."""

OF_OWNERS = set(Action) - {
    Action.PAUSE,
    Action.RESUME,
    Action.WORKERS,
    Action.ALL_TASKS,
    Action.HEALTH,
    Action.LIMITS,
    Action.QUIET,
    Action.AUDIT,
}


def permission(request: Request, action: Action, job: Any) -> bool:
    """Whoever is known may do what concerns their own jobs; staff may do everything."""
    who = request.headers["x-user"]
    return who == "root" or (who in ("ann", "bob") and action in OF_OWNERS)


def scope(request: Request) -> Scope:
    """Owners see their own jobs."""
    who = request.headers["x-user"]
    if who == "root":
        return Scope.all()
    return Scope.none() if who == "stranger" else Scope.owner(who)


class Route(NamedTuple):
    """A request, and what each of WHO gets for it; a job of ann's is in it as `waiting`, `ended`
    or `failed`.
    """

    method: str
    path: str
    stranger: int
    ann: int
    bob: int
    root: int
    body: dict[str, Any] | None = None


PARAMS = {"params": {"a": 1}}
CREATE = {"task": f"{PREFIX}.add", "args": [1]}
BULK = {"action": "cancel", "filter": {"owner": "ann"}}

ROUTES = [
    Route("POST", "", 403, 202, 202, 202, CREATE),
    Route("POST", f"/tasks/{PREFIX}.add", 403, 202, 202, 202, PARAMS),
    Route(
        "POST", "/tasks/tests%2Fodd%20name%20%7B%7D", 403, 202, 202, 202, {"params": {"value": 1}}
    ),
    Route("POST", f"/tasks/{PREFIX}.secret", 403, 404, 404, 404, {"params": {"value": 1}}),
    Route("GET", "/tasks", 403, 200, 200, 200),
    Route("GET", "", 403, 200, 200, 200),
    Route("GET", "/health", 200, 200, 200, 200),
    Route("GET", "/stats", 403, 200, 200, 200),
    Route("GET", "/queues", 403, 200, 200, 200),
    Route("GET", "/workers", 403, 403, 403, 200),
    Route("POST", "/queues/parcels/pause", 403, 403, 403, 200),
    Route("POST", "/queues/parcels/resume", 403, 403, 403, 200),
    Route("POST", "/bulk", 403, 200, 200, 200, BULK),
    Route("GET", "/{waiting}", 403, 200, 404, 200),
    Route("GET", "/{waiting}/attempts", 403, 200, 404, 200),
    Route("GET", "/{waiting}/explain", 403, 200, 404, 200),
    Route("GET", "/{waiting}/logs", 403, 200, 404, 200),
    Route("GET", "/{ended}/result", 403, 200, 404, 200),
    Route("GET", "/{waiting}/result", 403, 409, 404, 409),
    Route("PATCH", "/{waiting}", 403, 200, 404, 200, {"priority": 1}),
    Route("PATCH", "/{ended}", 403, 409, 404, 409, {"priority": 1}),
    Route("DELETE", "/{ended}", 403, 204, 404, 204),
    Route("DELETE", "/{waiting}", 403, 409, 404, 409),
    Route("POST", "/{waiting}/cancel", 403, 200, 404, 200),
    Route("POST", "/{ended}/cancel", 403, 409, 404, 409),
    Route("POST", "/{ended}/retry", 403, 200, 404, 200),
    Route("POST", "/{waiting}/retry", 403, 409, 404, 409),
]


@asynccontextmanager
async def serving(serve_jobs: Serve) -> AsyncIterator[AsyncClient]:
    """A client of an app that knows who asks."""
    hooks = {"permission": permission, "scope": scope}
    async with serve_jobs(
        backend="immediate", owner=lambda request: request.headers["x-user"], **hooks
    ) as client:
        yield client


async def populate(client: AsyncClient) -> dict[str, str]:
    """New jobs of ann's and bob's."""
    ids = {}
    for user, prefix in (("ann", ""), ("bob", "bobs_")):
        for name, options in (("waiting", {"run_after": 3600}), ("ended", {})):
            body = CREATE | {"options": options}
            answer = await client.post("/jobs", json=body, headers={"x-user": user})
            assert answer.status_code == 202
            ids[prefix + name] = answer.json()["id"]
    return ids


async def ask(client: AsyncClient, route: Route, who: str, ids: dict[str, str]) -> Response:
    body: dict[str, Any] = {} if route.body is None else {"json": route.body}
    return await client.request(
        route.method, "/jobs" + route.path.format(**ids), headers={"x-user": who}, **body
    )


@pytest.mark.parametrize("who", WHO)
async def test_what_each_may_do(serve_jobs: Serve, who: str) -> None:
    wrong = []
    async with serving(serve_jobs) as client:
        for route in ROUTES:
            ids = await populate(client)
            answer = await ask(client, route, who, ids)
            if answer.status_code != getattr(route, who):
                wrong.append((route.method, route.path, answer.status_code, answer.text[:200]))
            if who not in ("bob", "root") and ids["bobs_waiting"] in answer.text:
                wrong.append((route.method, route.path, 0, "shows bob's jobs"))
            if who in ("bob", "stranger") and route.path.startswith("/{"):
                await _is_as_if_it_were_not_there(client, route, who, ids, answer)
    assert wrong == []


async def _is_as_if_it_were_not_there(
    client: AsyncClient, route: Route, who: str, ids: dict[str, str], answer: Response
) -> None:
    nowhere = dict.fromkeys(ids, str(uuid4()))
    missing = await ask(client, route, who, nowhere)
    own = ids["ended"] if "{ended}" in route.path else ids["waiting"]
    other = nowhere["ended"]
    assert answer.status_code == missing.status_code
    assert answer.text.replace(own, "ID") == missing.text.replace(other, "ID")
    assert set(answer.headers) == set(missing.headers)


async def test_what_others_did_not_change(serve_jobs: Serve) -> None:
    """Whatever bob and a stranger ask for, ann's jobs stay as they are."""
    async with serving(serve_jobs) as client:
        ids = await populate(client)
        client.headers["x-user"] = "ann"
        before = [(await client.get(f"/jobs/{ids[each]}")).text for each in ("waiting", "ended")]
        for who in ("bob", "stranger"):
            for route in ROUTES:
                await ask(client, route, who, ids)
        after = [(await client.get(f"/jobs/{ids[each]}")).text for each in ("waiting", "ended")]
    assert before == after


async def test_lists_and_figures_hold_what_is_in_the_scope(serve_jobs: Serve) -> None:
    async with serving(serve_jobs) as client:
        ids = await populate(client)
        for who, seen in (("ann", 2), ("bob", 2), ("root", 4)):
            headers = {"x-user": who}
            items = (await client.get("/jobs", headers=headers)).json()["items"]
            assert len(items) == seen
            assert {each["owner"] for each in items} <= {who} or who == "root"
            stats = (await client.get("/jobs/stats", headers=headers)).json()
            assert sum(stats["counts"].values()) == seen
            assert [each["scheduled"] for each in stats["queues"]] == [seen // 2]
        bulk = {"action": "cancel", "filter": {"status": ["scheduled"]}}
        done = await client.post("/jobs/bulk", json=bulk, headers={"x-user": "bob"})
        assert done.json()["done"] == 1
        kept = await client.get(f"/jobs/{ids['waiting']}", headers={"x-user": "ann"})
        assert kept.json()["status"] == "scheduled"


def test_no_route_is_forgotten(sqlite_url: str) -> None:
    """A new route needs its line in ROUTES."""
    router = make_jobs(sqlite_url).router(prefix="")
    asked = set()
    for route in ROUTES:
        for each in router.routes:
            assert isinstance(each, APIRoute)
            path = route.path.format(waiting=uuid4(), ended=uuid4())
            matches = each.path_regex.match(path.replace("%2F", "/")) is not None
            if matches and route.method in (each.methods or ()):
                asked.add(each.name)
                break
    every = {each.name for each in router.routes if isinstance(each, APIRoute)}
    own = {name for name in every if name.startswith("jobs:enqueue:")}
    assert asked - own == every - own
    assert f"jobs:enqueue:{PREFIX}.add" in asked


async def test_the_holder_of_a_key_is_named_only_to_those_who_see_it(serve_jobs: Serve) -> None:
    body = {"task": f"{PREFIX}.jealous", "args": [600]}
    own = {"task": f"{PREFIX}.alone", "args": [600]}
    async with serve_jobs(
        dispatch=False, scope=scope, owner=lambda request: request.headers["x-user"]
    ) as client:

        async def post(path: str, who: str, body: Any = None) -> Response:
            return await client.post(path, json=body, headers={"x-user": who})

        held = (await post("/jobs", "ann", body)).json()["id"]
        assert held in (await post("/jobs", "ann", body)).text
        refused = await post("/jobs", "bob", body)
        assert (refused.status_code, refused.json()["code"]) == (409, "duplicate_job")
        assert held not in refused.text
        first = (await post("/jobs", "bob", own)).json()["id"]
        await post(f"/jobs/{first}/cancel", "bob")
        held = (await post("/jobs", "ann", own)).json()["id"]
        refused = await post(f"/jobs/{first}/retry", "bob")
        assert (refused.status_code, refused.json()["code"]) == (409, "illegal_move")
        assert "Its unique key is held by another job." in refused.json()["detail"]
        assert held not in refused.text
        assert held in (await post(f"/jobs/{first}/retry", "root")).text
