"""What OpenAPI says of the routes."""

from typing import Any

from fastapi import FastAPI

from fastapi_jobs.api.problems import Code
from tests.api.conftest import make_jobs
from tests.api.tasks import PREFIX

OPERATIONS = {
    ("/jobs", "post"): "jobs_create",
    ("/jobs", "get"): "jobs_list",
    ("/jobs/health", "get"): "jobs_health",
    ("/jobs/stats", "get"): "jobs_stats",
    ("/jobs/workers", "get"): "jobs_workers",
    ("/jobs/queues", "get"): "jobs_queues",
    ("/jobs/queues/{name}/pause", "post"): "jobs_pause_queue",
    ("/jobs/queues/{name}/resume", "post"): "jobs_resume_queue",
    ("/jobs/bulk", "post"): "jobs_bulk",
    ("/jobs/tasks", "get"): "jobs_tasks",
    ("/jobs/{id}", "get"): "jobs_get",
    ("/jobs/{id}", "patch"): "jobs_edit",
    ("/jobs/{id}", "delete"): "jobs_delete",
    ("/jobs/{id}/attempts", "get"): "jobs_attempts",
    ("/jobs/{id}/explain", "get"): "jobs_explain",
    ("/jobs/{id}/logs", "get"): "jobs_logs",
    ("/jobs/{id}/result", "get"): "jobs_result",
    ("/jobs/{id}/cancel", "post"): "jobs_cancel",
    ("/jobs/{id}/retry", "post"): "jobs_retry",
}
NO_BODY = ("204", "304")


def schema_of(url: str) -> dict[str, Any]:
    app = FastAPI()
    make_jobs(url).init_app(app)
    return app.openapi()


def test_operations_have_stable_ids(sqlite_url: str) -> None:
    found = {
        (path, method): operation["operationId"]
        for path, operations in schema_of(sqlite_url)["paths"].items()
        for method, operation in operations.items()
    }
    assert {key: found[key] for key in OPERATIONS} == OPERATIONS
    others = {path for path, _ in found.keys() - OPERATIONS.keys()}
    assert all(path.startswith("/jobs/tasks/") for path in others)
    assert len(set(found.values())) == len(found)


def test_every_error_is_a_documented_problem(sqlite_url: str) -> None:
    schema = schema_of(sqlite_url)
    paths = schema["paths"]
    for path, method in OPERATIONS:
        responses = paths[path][method]["responses"]
        assert paths[path][method]["tags"] == ["jobs"]
        assert "503" in responses
        for status, response in responses.items():
            if status in NO_BODY:
                assert "content" not in response
                continue
            kind = "application/problem+json" if int(status) >= 400 else "application/json"
            assert list(response["content"]) == [kind], (path, method, status)
    create = paths["/jobs"]["post"]
    assert set(create["responses"]) == {
        "200",
        "202",
        "403",
        "404",
        "409",
        "413",
        "422",
        "429",
        "503",
    }
    problem = create["responses"]["404"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/JobsProblem"}
    codes = schema["components"]["schemas"]["JobsProblem"]["properties"]["code"]["enum"]
    assert codes == [each.value for each in Code]
    assert [each["name"] for each in create["parameters"]] == ["Idempotency-Key"]
    assert "wait" in [each["name"] for each in paths["/jobs/{id}"]["get"]["parameters"]]


def test_routes_have_names(sqlite_url: str) -> None:
    router = make_jobs(sqlite_url).router(prefix="/work", tags=["x"])
    names = {getattr(route, "name", "") for route in router.routes}
    actions = [each.removeprefix("jobs_") for each in OPERATIONS.values()]
    assert names >= {f"jobs:{each}" for each in actions}
    assert all(name.startswith("jobs:enqueue") for name in names - {f"jobs:{a}" for a in actions})
    assert router.url_path_for("jobs:cancel", id="1") == "/work/1/cancel"


def test_headers_are_documented(sqlite_url: str) -> None:
    paths = schema_of(sqlite_url)["paths"]
    created = paths["/jobs"]["post"]["responses"]
    assert set(created["202"]["headers"]) == {"Location"}
    assert set(created["200"]["headers"]) == {"Location", "Idempotent-Replayed"}
    assert set(created["429"]["headers"]) == {"Retry-After"}
    assert set(created["503"]["headers"]) == {"Retry-After"}
    assert set(paths["/jobs/{id}"]["get"]["responses"]["200"]["headers"]) == {"ETag"}
    task = paths[f"/jobs/tasks/{PREFIX}.add"]["post"]["responses"]
    assert set(task["202"]["headers"]) == {"Location"}


def test_an_answer_that_is_a_job_leads_to_all_that_can_be_done_with_it(sqlite_url: str) -> None:
    paths = schema_of(sqlite_url)["paths"]
    of_one = {name for (path, _), name in OPERATIONS.items() if path.startswith("/jobs/{id}")}
    jobs = [
        answer
        for path, operations in paths.items()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status in ("200", "202") and (path.startswith("/jobs/tasks/") or is_job(answer))
    ]
    assert len(jobs) >= 7
    for answer in jobs:
        assert {each["operationId"] for each in answer["links"].values()} == of_one
        for name, link in answer["links"].items():
            assert link["operationId"] == f"jobs_{name}"
            assert link["parameters"] == {"id": "$response.body#/id"}


def is_job(answer: dict[str, Any]) -> bool:
    schema = answer["content"]["application/json"]["schema"]
    return bool(schema.get("$ref", "").endswith("/JobOut"))
