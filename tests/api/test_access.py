"""The permission, scope and owner hooks, and the router without them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from fastapi import FastAPI, HTTPException, Request
from httpx2 import AsyncClient

from fastapi_jobs import Action, FastAPIJobs, Scope
from fastapi_jobs.errors import InvalidOption, SettingsError
from tests.api.conftest import Serve, create, finished, make_jobs, serve
from tests.api.tasks import PREFIX

BODY: dict[str, Any] = {"task": f"{PREFIX}.add", "args": [1]}


BULK: dict[str, Any] = {"action": "cancel", "filter": {"task": "none.of.this.name"}}


class Wish(NamedTuple):
    """The request that is an action, on two finished jobs, and what it gets from who may do it."""

    method: str
    path: str
    fine: int
    body: dict[str, Any] | None = None


WISHES = {
    Action.CREATE: Wish("POST", "", 202, BODY),
    Action.LIST: Wish("GET", "", 200),
    Action.READ: Wish("GET", "/{job}", 200),
    Action.CANCEL: Wish("POST", "/{job}/cancel", 409),
    Action.EDIT: Wish("PATCH", "/{job}", 409, {"priority": 1}),
    Action.RETRY: Wish("POST", "/{job}/retry", 200),
    Action.DELETE: Wish("DELETE", "/{other}", 204),
    Action.BULK: Wish("POST", "/bulk", 200, BULK),
    Action.TASKS: Wish("GET", "/tasks", 200),
    Action.STATS: Wish("GET", "/stats", 200),
    Action.QUEUES: Wish("GET", "/queues", 200),
    Action.PAUSE: Wish("POST", "/queues/parcels/pause", 200, {}),
    Action.RESUME: Wish("POST", "/queues/parcels/resume", 200),
    Action.WORKERS: Wish("GET", "/workers", 200),
}
FINE = {action: wish.fine for action, wish in WISHES.items()}
SHOWS_MORE = {Action.ALL_TASKS, Action.HEALTH}
"""Who may not do these gets less of the same answer: see test_tasks.py and test_health.py."""

ON_THE_ADMIN_SITE = {Action.LIMITS, Action.QUIET, Action.AUDIT}
"""The HTTP API has none of these."""


async def requests(client: AsyncClient, **ids: str) -> dict[Action, int]:
    """The status that each action gets."""
    found = {}
    for action, wish in WISHES.items():
        body: dict[str, Any] = {} if wish.body is None else {"json": wish.body}
        path = "/jobs" + wish.path.format(**ids)
        found[action] = (await client.request(wish.method, path, **body)).status_code
    return found


def test_no_action_is_forgotten() -> None:
    assert {*WISHES, *SHOWS_MORE, *ON_THE_ADMIN_SITE} == set(Action)


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_permission_hook_is_asked_for_each_action(
    serve_jobs: Serve, is_async: bool
) -> None:
    refused: Action | None = None
    asked: list[tuple[Action, str]] = []

    def sync(request: Request, action: Action, job: Any) -> bool:
        asked.append((action, str(job.id) if job else ""))
        return action is not refused

    async def awaited(request: Request, action: Action, job: Any) -> bool:
        return sync(request, action, job)

    async with serve_jobs(permission=awaited if is_async else sync) as client:
        for each in WISHES:
            refused = None
            job, other = [(await create(client, "add", 1))["id"] for _ in range(2)]
            for made in (job, other):
                await finished(client, made)
            refused = each
            asked.clear()
            found = await requests(client, job=job, other=other)
            assert found == FINE | {refused: 403}
            on_job = {action for action, job_id in asked if job_id == job}
            assert {Action.READ, Action.CANCEL, Action.EDIT, Action.RETRY} <= on_job
            assert (Action.DELETE, other) in asked
        refused = Action.CREATE
        problem = (await client.post("/jobs", json=BODY)).json()
    assert problem["code"] == "forbidden"
    assert problem["detail"] == "You may not create jobs here."


async def test_who_may_nothing_does_not_learn_which_jobs_exist(serve_jobs: Serve) -> None:
    is_open = True
    async with serve_jobs(permission=lambda *_: is_open) as client:
        job = await create(client, "add", 1)
        assert (await client.get(f"/jobs/{uuid4()}")).status_code == 404
        is_open = False
        answers = [await client.get(f"/jobs/{each}") for each in (job["id"], uuid4())]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].text == answers[1].text


async def test_the_permission_hook_comes_before_the_body(serve_jobs: Serve) -> None:
    async with serve_jobs(permission=lambda *_: False) as client:
        assert (await client.post("/jobs", json={"nonsense": 1})).status_code == 403


async def test_a_hook_may_raise_its_own_answer(serve_jobs: Serve) -> None:
    def permission(request: Request, action: Action, job: Any) -> bool:
        raise HTTPException(401, "Who are you?", {"WWW-Authenticate": "Bearer"})

    async with serve_jobs(permission=permission) as client:
        answer = await client.get("/jobs")
        health = await client.get("/jobs/health")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Who are you?"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert (health.status_code, health.json()) == (200, {"status": "ok"})


def by_user(request: Request) -> Scope:
    user = request.headers.get("x-user")
    if user == "root":
        return Scope.all()
    return Scope.owner(user) if user else Scope.none()


async def by_user_async(request: Request) -> Scope:
    return by_user(request)


@pytest.mark.parametrize("scope", [by_user, by_user_async])
async def test_outside_the_scope_nothing_exists(
    serve_jobs: Serve, scope: Callable[[Request], Any]
) -> None:
    def owner(request: Request) -> str | None:
        return request.headers.get("x-user")

    async with serve_jobs(scope=scope, owner=owner) as client:
        made = {}
        for user in ("ann", "bob"):
            answer = await client.post("/jobs", json=BODY, headers={"x-user": user})
            assert answer.json()["owner"] == user
            made[user] = answer.json()["id"]
            await finished(client, made[user], **{"x-user": user})
        everybody = {"ann": ["ann"], "bob": ["bob"], "root": ["bob", "ann"], "": []}
        for user, seen in everybody.items():
            client.headers["x-user"] = user
            items = (await client.get("/jobs")).json()["items"]
            assert [each["id"] for each in items] == [made[each] for each in seen]
            mine = (await client.get("/jobs", params={"owner": "ann"})).json()["items"]
            assert [each["id"] for each in mine] == ([made["ann"]] if "ann" in seen else [])
            for name, job_id in made.items():
                read = 200 if name in seen else 404
                assert (await client.get(f"/jobs/{job_id}")).status_code == read
                assert (await client.get(f"/jobs/{job_id}/attempts")).status_code == read
                cancel = await client.post(f"/jobs/{job_id}/cancel")
                assert cancel.status_code == (409 if name in seen else 404)
                retry = await client.post(f"/jobs/{job_id}/retry")
                assert retry.status_code == (200 if name in seen else 404)
                if name in seen:
                    await finished(client, job_id)


async def test_a_duplicate_of_somebody_else_is_not_shown(serve_jobs: Serve) -> None:
    body = {"task": f"{PREFIX}.alone", "args": [600]}
    async with serve_jobs(scope=by_user, owner=lambda r: r.headers["x-user"]) as client:
        first = await client.post("/jobs", json=body, headers={"x-user": "ann"})
        own = await client.post("/jobs", json=body, headers={"x-user": "ann"})
        other = await client.post("/jobs", json=body, headers={"x-user": "bob"})
    assert (own.status_code, own.json()["id"]) == (200, first.json()["id"])
    assert (other.status_code, other.json()["code"]) == (409, "duplicate_job")
    assert first.json()["id"] not in other.text


def test_a_scope_needs_an_owner() -> None:
    with pytest.raises(InvalidOption, match=r"Say Scope\.none\(\) for nothing, Scope\.all\(\)"):
        Scope.owner(None)
    assert Scope.owner(7).sees("7")
    assert not Scope.owner("a").sees(None)
    assert Scope.all().sees(None)
    assert not Scope.none().sees(None)


async def test_the_owner_never_comes_from_the_body(serve_jobs: Serve) -> None:
    async with serve_jobs(owner=lambda request: "ann") as client:
        answer = await client.post("/jobs", json=BODY | {"owner": "bob"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "owner")
        assert (await create(client, "add", 1))["owner"] == "ann"


class TestWithoutAHook:
    """Closed by default."""

    @staticmethod
    def settings(folder: Path, environment: str, **more: object) -> Path:
        lines = [f'{key} = "{value}"' for key, value in more.items()]
        file = folder / "settings.toml"
        table = f"[{environment}.fastapi_jobs]"
        file.write_text("\n".join([table, *lines]).replace('"true"', "true"))
        return file

    @pytest.fixture
    def choose(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        return lambda name: monkeypatch.setenv("FASTAPI_JOBS_ENV", name)

    def test_production_refuses(self, tmp_path: Path, choose: Callable[[str], None]) -> None:
        choose("production")
        jobs, app = FastAPIJobs(self.settings(tmp_path, "production")), FastAPI()
        for build in (lambda: jobs.init_app(app), jobs.router):
            with pytest.raises(SettingsError) as raised:
                build()
            assert (
                "in environment 'production' the HTTP API needs a permission hook. "
                "Pass one, jobs.init_app(app, permission=...); or leave the API out, api=False; "
                "or let everybody in, api_open = true."
            ) in str(raised.value)
            assert "api_open = false" in str(raised.value)
        jobs.init_app(app, api=False)
        FastAPIJobs(jobs.settings).init_app(FastAPI(), permission=lambda *_: True)

    def test_production_may_be_open(self, tmp_path: Path, choose: Callable[[str], None]) -> None:
        choose("production")
        FastAPIJobs(self.settings(tmp_path, "production", api_open="true")).router()

    def test_development_warns(
        self, tmp_path: Path, choose: Callable[[str], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        choose("development")
        app, jobs = FastAPI(), FastAPIJobs(self.settings(tmp_path, "development"))
        jobs.init_app(app)
        jobs.init_app(app)
        [warning] = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert "has no permission hook: whoever reaches it may do anything." in warning.message

    def test_testing_is_silent(
        self, tmp_path: Path, choose: Callable[[str], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        choose("testing")
        FastAPIJobs(self.settings(tmp_path, "testing")).router()
        assert not caplog.records


@pytest.mark.parametrize("prefix", ["jobs", "/jobs/", "/"])
def test_a_prefix_that_is_none(sqlite_url: str, prefix: str) -> None:
    with pytest.raises(InvalidOption, match="a prefix begins with '/' and does not end with it"):
        make_jobs(sqlite_url).router(prefix=prefix)


async def test_a_scope_hook_that_returns_something_else(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app, scope=lambda request: True)  # type: ignore[arg-type,return-value]
    async with serve(app) as client:
        with pytest.raises(TypeError, match=r"scope=True: the scope hook returns Scope\.all\(\)"):
            await client.get("/jobs")
