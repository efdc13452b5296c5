"""GET /jobs/tasks and POST /jobs/tasks/{name}."""

import gc
import json
import re
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from fastapi_jobs import Action, FastAPIJobs, Scope, task
from fastapi_jobs.registry import registry
from tests.api.conftest import QUICK, Serve, finished, make_jobs, serve
from tests.api.tasks import PREFIX

PARCEL: dict[str, Any] = {"weight": 2, "to": [{"street": "Elm", "since": "2020-02-03T00:00:00Z"}]}


@pytest.fixture
def forget() -> Iterator[list[str]]:
    """Names of tasks that end with the test."""
    names: list[str] = []
    yield names
    for name in names:
        registry.remove(name)


async def send(client: AsyncClient, name: str, body: object, **headers: str) -> Any:
    return await client.post(f"/jobs/tasks/{name}", json=body, headers=headers)


async def test_a_task_takes_its_own_parameters(client: AsyncClient) -> None:
    body = {"params": PARCEL | {"label": "aGk="}, "options": {"tags": ["x"]}}
    answer = await send(client, f"{PREFIX}.send", body)
    record = answer.json()
    assert answer.status_code == 202, record
    assert answer.headers["location"] == f"/jobs/{record['id']}"
    assert (record["is_new"], record["tags"], record["queue"]) == (True, ["x"], "parcels")
    end = await finished(client, record["id"])
    assert end["result"] == {
        "weight": 2.0,
        "to": [{"street": "Elm", "since": "2020-02-03T00:00:00Z"}],
    }
    assert set(end) == set(record)


@pytest.mark.parametrize(
    ("name", "params", "result"),
    [
        (f"{PREFIX}.gather", {"first": "a", "rest": [1, 2], "more": {"x": 0.5}}, None),
        (f"{PREFIX}.find", {"pattern": "l+", "text": "hello"}, True),
        ("tests/odd name {}", {"value": 4}, 4),
    ],
)
async def test_whatever_the_task_looks_like(
    client: AsyncClient, name: str, params: dict[str, Any], result: object
) -> None:
    answer = await send(client, quote(name), {"params": params})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    end = await finished(client, answer.json()["id"])
    assert end["result"] == (params if result is None else result)


@pytest.mark.parametrize(
    ("body", "code", "field", "sentence"),
    [
        ({}, "invalid_request", "params", "Field required"),
        ({"params": {}}, "invalid_arguments", "weight", "parameter 'weight' is missing"),
        ({"params": PARCEL | {"weight": 0}}, "invalid_arguments", "weight", "greater than 0"),
        (
            {"params": PARCEL | {"wait": 1}},
            "invalid_arguments",
            "wait",
            "there is no parameter 'wait'. Did you mean 'weight'?",
        ),
        ({"params": [1]}, "invalid_request", "params", "valid dictionary (given [1])"),
        ({"params": PARCEL, "args": []}, "invalid_request", "args", "not permitted"),
        (
            {"params": PARCEL, "options": {"priority": 5}},
            "invalid_option",
            "options.priority",
            "a request may set run_after, tags",
        ),
    ],
)
async def test_a_malformed_body_is_422_naming_the_field(
    client: AsyncClient, body: object, code: str, field: str, sentence: str
) -> None:
    answer = await send(client, f"{PREFIX}.send", body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code), problem
    assert field in [each["field"] for each in problem["errors"]], problem
    assert sentence in problem["detail"]
    assert (await client.get("/jobs")).json()["items"] == []


async def test_a_task_that_is_not_open_is_as_if_it_were_not_there(client: AsyncClient) -> None:
    hidden = await send(client, f"{PREFIX}.secret", {"params": {"value": 1}})
    nowhere = await send(client, f"{PREFIX}.seczet", {"params": {"value": 1}})
    for answer, name in ((hidden, "secret"), (nowhere, "seczet")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_task")
        assert answer.json()["detail"].startswith(
            f"No task '{PREFIX}.{name}' can be enqueued here."
        )
    said = [re.sub(r" Did you mean '.+?'\?", "", each.text) for each in (hidden, nowhere)]
    assert said[0].replace("secret", "seczet") == said[1]
    near = await send(client, f"{PREFIX}.sent", {"params": {}})
    assert f"Did you mean '{PREFIX}.send'?" in near.json()["detail"]


async def test_the_same_key_makes_one_job(client: AsyncClient) -> None:
    name, key = f"{PREFIX}.add", {"Idempotency-Key": "k"}
    first = await send(client, name, {"params": {"a": 1}}, **key)
    second = await send(client, name, {"params": {"a": 1}}, **key)
    other = await send(client, name, {"params": {"a": 2}}, **key)
    assert [each.status_code for each in (first, second, other)] == [202, 200, 422]
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json()["id"] == first.json()["id"]
    assert other.json()["code"] == "idempotency_conflict"
    # The key counts for its route: POST /jobs is another.
    plain = await client.post("/jobs", json={"task": name, "args": [1]}, headers=key)
    assert plain.status_code == 202


async def test_a_duplicate_is_200(client: AsyncClient) -> None:
    body = {"params": {"seconds": 600}}
    first, second = [await send(client, f"{PREFIX}.alone", body) for _ in "ab"]
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == first.json() | {
        key: second.json()[key] for key in ("is_new", "status", "attempt", "started_at", "actions")
    }
    rejected = [await send(client, f"{PREFIX}.jealous", body) for _ in "ab"][1]
    assert (rejected.status_code, rejected.json()["code"]) == (409, "duplicate_job")


async def test_a_payload_over_the_cap_is_413(serve_jobs: Serve) -> None:
    async with serve_jobs(max_payload=1000) as client:
        for size in (1001, 1_000_000):
            answer = await send(client, f"{PREFIX}.echo", {"params": {"value": "x" * size}})
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_the_list_of_tasks(client: AsyncClient) -> None:
    found = {each["name"]: each for each in (await client.get("/jobs/tasks")).json()}
    assert list(found) == sorted(found)
    parcel = found[f"{PREFIX}.send"]
    assert parcel["description"] == "Send a parcel."
    assert parcel["api"] is True
    assert parcel["options"] == {
        "queue": "parcels",
        "backend": "asyncio",
        "priority": 0,
        "retries": 2,
        "timeout": 30.0,
        "expires": None,
        "unique": False,
        "max_running": None,
        "on_crash": "requeue",
        "store_result": True,
        "tags": [],
    }
    assert parcel["params"]["required"] == ["weight", "to"]
    assert parcel["params"]["properties"]["weight"]["exclusiveMinimum"] == 0
    assert parcel["result"]["$ref"].endswith("/Parcel")
    assert found[f"{PREFIX}.find"]["params"] == {"type": "object"}
    assert found[f"{PREFIX}.secret"]["api"] is False


@pytest.mark.parametrize(
    "hooks",
    [
        {"permission": lambda request, action, job: action is not Action.ALL_TASKS},
        {"scope": lambda request: Scope.owner("ann")},
    ],
)
async def test_tasks_that_are_not_open_are_for_staff(
    serve_jobs: Serve, hooks: dict[str, Any]
) -> None:
    async with serve_jobs(**hooks) as client:
        found = (await client.get("/jobs/tasks")).json()
    assert {each["api"] for each in found} == {True}
    assert f"{PREFIX}.secret" not in json.dumps(found)


class TestInOpenAPI:
    """Each open task has an operation of its own."""

    @staticmethod
    def operation(app: FastAPI, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        schema = app.openapi()
        operation: dict[str, Any] = schema["paths"][f"/jobs/tasks/{name}"]["post"]
        return operation, schema["components"]["schemas"]

    @pytest.fixture
    def app(self, sqlite_url: str) -> FastAPI:
        app = FastAPI()
        make_jobs(sqlite_url).init_app(app)
        return app

    def test_with_its_parameters_and_result(self, app: FastAPI) -> None:
        operation, schemas = self.operation(app, f"{PREFIX}.send")
        assert operation["operationId"] == "enqueue_tests_api_tasks_send"
        assert operation["summary"] == f"Enqueue {PREFIX}.send"
        assert operation["description"] == "Send a parcel."
        body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        params = schemas[body.rpartition("/")[2]]["properties"]["params"]
        params = schemas[params["$ref"].rpartition("/")[2]]
        assert list(params["properties"]) == ["weight", "to", "label", "model_id"]
        assert params["properties"]["weight"] == {
            "type": "number",
            "exclusiveMinimum": 0.0,
            "title": "Weight",
            "description": "In kilograms.",
            "examples": [1.5],
        }
        assert params["properties"]["to"]["items"] == {"$ref": "#/components/schemas/Address"}
        for status in ("200", "202"):
            answer = operation["responses"][status]["content"]["application/json"]["schema"]["$ref"]
            result = schemas[answer.rpartition("/")[2]]["properties"]["result"]
            assert {"$ref": "#/components/schemas/Parcel"} in result["anyOf"]
        assert "Address" in schemas

    def test_of_closed_and_odd_tasks_nothing_is_said(self, app: FastAPI) -> None:
        said = json.dumps(app.openapi())
        assert f"{PREFIX}.secret" not in said
        assert "odd name" not in said
        assert "{name}" in said  # of the queues
        assert "/jobs/tasks/{" not in said

    def test_a_type_without_a_schema_is_any_object(self, app: FastAPI) -> None:
        operation, schemas = self.operation(app, f"{PREFIX}.find")
        body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        params = schemas[body.rpartition("/")[2]]["properties"]["params"]
        assert params["type"] == "object"
        assert "properties" not in params

    async def test_a_task_that_comes_late(self, app: FastAPI, forget: list[str]) -> None:
        assert "tests.late" not in json.dumps(app.openapi())
        async with serve(app) as client:

            @task(name="tests.late", api=True)
            async def late(value: int) -> int:
                return value

            forget.append("tests.late")
            answer = await send(client, "tests.late", {"params": {"value": 5}})
            assert (await finished(client, answer.json()["id"]))["result"] == 5
        assert self.operation(app, "tests.late")[0]["operationId"] == "enqueue_tests_late"

    def test_two_names_that_would_get_one_id(self, app: FastAPI, forget: list[str]) -> None:
        for name in ("tests.of_two", "tests.of.two"):
            task(name=name, api=True)(_nothing_of(name))
            forget.append(name)
        ids = [self.operation(app, name)[0]["operationId"] for name in forget]
        assert ids == ["enqueue_tests_of_two", "enqueue_tests_of_two_64693c"]

    def test_tasks_of_task_modules_without_a_start(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: list[str]
    ) -> None:
        (tmp_path / "far_away_tasks.py").write_text(
            "from fastapi_jobs import task\n@task(api=True)\ndef far(x: int) -> int: return x\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        forget.append("far_away_tasks.far")
        jobs = FastAPIJobs(database_url=sqlite_url, task_modules=["far_away_tasks"], **QUICK)
        app = FastAPI()
        jobs.init_app(app)
        assert "far_away_tasks" not in sys.modules
        assert self.operation(app, "far_away_tasks.far")[0]["operationId"]
        sys.modules.pop("far_away_tasks")

    def test_a_router_that_is_gone_is_not_kept(self, sqlite_url: str) -> None:
        router = weakref.ref(make_jobs(sqlite_url).router())
        gc.collect()
        assert router() is None


def _nothing_of(name: str) -> Any:
    async def nothing() -> None: ...

    nothing.__qualname__ = name
    return nothing
