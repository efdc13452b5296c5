"""init_app: lifespans, mounted apps, several FastAPIJobs, and enqueuing in endpoints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.current import current_runtime
from fastapi_jobs.errors import NoCurrentApp
from tests.api.conftest import finished, make_jobs, serve
from tests.api.tasks import PREFIX, add, in_a_thread
from tests.servers import free_port

BODY: dict[str, Any] = {"task": f"{PREFIX}.add", "args": [1]}


def test_our_lifespan_nests_inside_theirs(database_url: str) -> None:
    seen = []
    jobs = make_jobs(database_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append(("in", jobs.runtime.dispatcher is not None))
        yield {"pool": "the pool"}
        seen.append(("out", jobs.runtime.dispatcher is not None))

    app = FastAPI(lifespan=lifespan)

    @app.get("/pool")
    async def pool(request: Request) -> str:
        assert jobs.runtime.dispatcher is not None
        return str(request.state.pool)

    jobs.init_app(app)
    with TestClient(app) as client:
        assert client.get("/pool").json() == "the pool"
        answer = client.post("/jobs", json=BODY)
        end = client.get(answer.headers["location"], params={"wait": 20}).json()
    assert end["result"] == 3
    assert seen == [("in", False), ("out", False)]


def test_startup_hooks_of_the_host_still_run(sqlite_url: str) -> None:
    seen: list[str] = []
    router = APIRouter(lifespan=None)
    app = FastAPI()
    app.router.on_startup.append(lambda: seen.append("startup"))
    app.router.on_shutdown.append(lambda: seen.append("shutdown"))
    make_jobs(sqlite_url).init_app(app)
    app.include_router(router)
    with TestClient(app):
        assert seen == ["startup"]
    assert seen == ["startup", "shutdown"]


async def test_a_lifespan_that_fails_leaves_nothing_running(sqlite_url: str) -> None:
    jobs = make_jobs(sqlite_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no licence")
        yield

    app = FastAPI(lifespan=lifespan)
    jobs.init_app(app)
    with pytest.raises(RuntimeError, match="no licence"):
        async with app.router.lifespan_context(app):
            pass
    assert jobs.runtime.dispatcher is None


def test_init_app_twice_does_it_once(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)
    count = len(app.routes), len(app.user_middleware), app.router.lifespan_context
    jobs.init_app(app)
    jobs.init_app(app, api=False)
    assert (len(app.routes), len(app.user_middleware), app.router.lifespan_context) == count
    other = FastAPI()
    jobs.init_app(other)
    assert len(other.user_middleware) == 1


async def test_without_the_api_nothing_is_served(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app, api=False)
    async with serve(app) as client:
        assert (await client.get("/jobs")).status_code == 404
        assert jobs.runtime.dispatcher is not None


async def test_a_router_at_another_place_with_dependencies(sqlite_url: str) -> None:
    def key(x_key: str = Header()) -> None:
        if x_key != "open":
            raise HTTPException(418, "no")

    jobs, app = make_jobs(sqlite_url), FastAPI()
    router = jobs.router(prefix="/work", dependencies=[Depends(key)], tags=["work"])
    app.include_router(router, prefix="/api")
    async with jobs, AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as client:
        assert (await client.get("/api/work", headers={"x-key": "shut"})).status_code == 418
        assert (await client.get("/api/work")).json()["errors"][0]["field"] == "x-key"
        client.headers["x-key"] = "open"
        answer = await client.post("/api/work", json=BODY)
        assert answer.headers["location"] == f"/api/work/{answer.json()['id']}"
        assert (await client.get(answer.headers["location"])).status_code == 200
        assert (await client.get("/api/work/x")).json()["code"] == "invalid_request"


async def test_an_empty_prefix_is_for_the_host_to_choose(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    app.include_router(jobs.router(prefix=""), prefix="/elsewhere")
    async with jobs, AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as client:
        assert (await client.get("/elsewhere")).json() == {"items": [], "next_cursor": None}


async def test_a_mounted_app(sqlite_url: str) -> None:
    jobs, inner = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(inner)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with jobs.lifespan(app):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/inner", inner)
    async with serve(outer) as client:
        answer = await client.post("/inner/jobs", json=BODY)
        assert answer.headers["location"] == f"/inner/jobs/{answer.json()['id']}"
        end = await client.get(answer.headers["location"], params={"wait": 20})
        assert end.json()["result"] == 3


async def made_both_ways(client: AsyncClient, base: str) -> None:
    """Both ways to enqueue say where the job is, and it is there."""
    for path, body in ((base, BODY), (f"{base}/tasks/{PREFIX}.add", {"params": {"a": 1}})):
        answer = await client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"{base}/{answer.json()['id']}"
        end = await client.get(answer.headers["location"], params={"wait": 20})
        assert end.json()["result"] == 3


async def test_a_typed_route_in_a_mounted_app_and_under_other_prefixes(sqlite_url: str) -> None:
    jobs, inner, app = make_jobs(sqlite_url), FastAPI(), FastAPI()
    inner.include_router(jobs.router(prefix="/work"), prefix="/api")
    app.mount("/in ner", inner)
    async with jobs, AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as client:
        await made_both_ways(client, "/in%20ner/api/work")


@pytest.mark.parametrize("with_root", [True, False], ids=["path with root", "path alone"])
async def test_behind_a_proxy_with_a_root_path(sqlite_url: str, with_root: bool) -> None:
    """The outer path is in `Location` and in OpenAPI's servers, whether or not the server puts it
    before the path, as the specification of ASGI wants.
    """
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/outer")
        paths = {"path": f"/outer{path}" if with_root else path, "root_path": "/outer"}
        await app({**scope, **paths}, receive, send)

    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app=server), base_url="http://t") as client,
    ):
        await made_both_ways(client, "/outer/jobs")
        schema = (await client.get("/outer/openapi.json")).json()
        assert schema["servers"] == [{"url": "/outer"}]
        assert "/jobs/{id}" in schema["paths"]


async def test_beside_jobs_of_the_host(sqlite_url: str) -> None:
    """A host whose own routes are named /jobs gives ours another prefix."""
    jobs, app = make_jobs(sqlite_url, api_prefix="/background-jobs"), FastAPI()

    @app.get("/jobs", operation_id="vacancies", tags=["jobs"])
    async def vacancies() -> list[str]:
        return ["gardener"]

    @app.get("/jobs/{id}")
    async def vacancy(id: str) -> str:
        return id

    jobs.init_app(app)
    async with serve(app) as client:
        assert (await client.get("/jobs")).json() == ["gardener"]
        assert (await client.get("/jobs/health")).json() == "health"
        assert (await client.get("/jobs/%00")).json() == "\x00"
        await made_both_ways(client, "/background-jobs")
        ids = [
            operation["operationId"]
            for path in app.openapi()["paths"].values()
            for operation in path.values()
        ]
        assert len(set(ids)) == len(ids)


async def test_ours_and_a_host_s_route_on_one_path(sqlite_url: str) -> None:
    """The one that was added first answers; the rest of ours is still there."""
    jobs, app = make_jobs(sqlite_url), FastAPI()

    @app.get("/jobs/mine")
    async def mine() -> str:
        return "mine"

    jobs.init_app(app)
    async with serve(app) as client:
        assert (await client.get("/jobs/mine")).json() == "mine"
        await made_both_ways(client, "/jobs")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/jobs/stats"),
        ("PATCH", "/jobs/health"),
        ("GET", "/jobs/bulk"),
        ("POST", "/jobs/tasks"),
        ("PUT", "/jobs"),
    ],
)
async def test_a_method_that_a_path_does_not_have(sqlite_url: str, method: str, path: str) -> None:
    """A name of ours is no id."""
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)
    async with serve(app) as client:
        assert (await client.request(method, path)).status_code == 405


async def test_an_app_whose_lifespan_never_ran_takes_jobs(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app)
    try:
        async with AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as client:
            answer = await client.post("/jobs", json=BODY)
            assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    finally:
        await jobs.shutdown()


PATHS = ["/async", "/sync"]


def enqueuing(app: FastAPI) -> None:
    @app.post("/async")
    async def enqueue(value: int) -> dict[str, Any]:
        job = await add.enqueue(value)
        return {"id": job.id, "app": current_runtime().name}

    @app.post("/sync")
    def enqueue_sync(value: int) -> dict[str, Any]:
        job = in_a_thread.enqueue_sync(value)
        return {"id": job.id, "app": current_runtime().name}


@pytest.mark.parametrize(("path", "result"), [("/async", 7), ("/sync", 10)])
async def test_endpoints_enqueue(database_url: str, path: str, result: int) -> None:
    jobs, app = make_jobs(database_url), FastAPI()
    enqueuing(app)
    jobs.init_app(app)
    async with serve(app) as client:
        made = (await client.post(path, params={"value": 5})).json()
        assert (await finished(client, made["id"]))["result"] == result


async def test_two_of_them_in_one_process(tmp_path: Path) -> None:
    both = {}
    for name in ("one", "two"):
        jobs = make_jobs(f"sqlite:///{tmp_path}/{name}.db", name=name)
        app = FastAPI()
        enqueuing(app)
        jobs.init_app(app)
        both[name] = app
    async with serve(both["one"]) as one, serve(both["two"]) as two:
        clients = {"one": one, "two": two}

        async def ask(name: str, path: str) -> None:
            made = (await clients[name].post(path, params={"value": 1})).json()
            assert made["app"] == name
            assert (await clients[name].get(f"/jobs/{made['id']}")).status_code == 200
            other = clients["two" if name == "one" else "one"]
            assert (await other.get(f"/jobs/{made['id']}")).status_code == 404

        wanted = [(name, path) for name in both for path in ("/async", "/sync")]
        await asyncio.gather(*(ask(*each) for each in wanted * 5))


async def test_of_two_the_router_knows_its_own(tmp_path: Path) -> None:
    app, routers = FastAPI(), {}
    for name in ("one", "two"):
        routers[name] = make_jobs(f"sqlite:///{tmp_path}/{name}.db", name=name, dispatch=False)
        app.include_router(routers[name].router(prefix=f"/{name}"))
    async with (
        routers["one"],
        routers["two"],
        AsyncClient(transport=ASGITransport(app=app), base_url="http://t") as client,
    ):
        answer = await client.post("/one", json=BODY)
        assert (await client.get(answer.headers["location"])).status_code == 200
        assert (await client.get("/two")).json()["items"] == []
        with pytest.raises(NoCurrentApp):
            await asyncio.create_task(_enqueue_somewhere(), context=Context())


async def test_after_another_has_closed_the_one_before_is_meant_again(tmp_path: Path) -> None:
    def named(name: str) -> FastAPIJobs:
        return make_jobs(f"sqlite:///{tmp_path}/{name}.db", name=name, dispatch=False)

    bystander = named("bystander")  # without it, the only one that is open would be meant
    async with named("outer") as outer:
        async with named("inner") as inner:
            assert current_runtime() is inner.runtime
        assert current_runtime() is outer.runtime
        with named("script") as script:
            assert current_runtime() is script.runtime
        assert current_runtime() is outer.runtime
    assert not bystander.runtime.has_opened


async def test_on_a_real_server(database_url: str) -> None:
    jobs, app = make_jobs(database_url), FastAPI()
    enqueuing(app)
    jobs.init_app(app)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(60):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            made = [(await client.post(each, params={"value": 4})).json() for each in PATHS]
            results = [(await finished(client, each["id"]))["result"] for each in made]
            assert results == [6, 8]
            assert (await client.get("/jobs/health")).json()["dispatcher"] == "running"
    finally:
        server.should_exit = True
        await serving
    assert jobs.runtime.dispatcher is None


async def _enqueue_somewhere() -> None:
    await add.enqueue(1)
