"""A client that a public generator makes from OpenAPI reads well and works."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.api.serving import serving
from tests.servers import wait_until

PACKAGE = "parcels_client"
GENEROUS = 20.0


@pytest.fixture
def generated(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    """The models, the operations by their ids, and a client of the running server."""
    with serving(sqlite_url, tmp_path / "server.log") as url:
        generate(url, tmp_path / PACKAGE)
        monkeypatch.syspath_prepend(tmp_path)
        package = importlib.import_module(PACKAGE)
        with package.Client(base_url=url, raise_on_unexpected_status=True) as client:
            yield SimpleNamespace(client=client, models=load("models"), call=caller(client))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def generate(url: str, folder: Path) -> None:
    """Make the client; whatever the generator cannot express is a failure."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of ruff
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
            *("--url", f"{url}/openapi.json", "--meta", "none", "--output-path", str(folder)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def caller(client: Any) -> Any:
    """`call("jobs_get", ...)` for the operation of that id."""

    def call(operation: str, *args: Any, **kwargs: Any) -> Any:
        return load(f"api.jobs.{operation}").sync(*args, client=client, **kwargs)

    return call


def ended(generated: SimpleNamespace, job_id: object) -> Any:
    """The job once it has finished."""
    found: list[Any] = []

    def is_over() -> bool:
        found[:] = [generated.call("jobs_get", job_id, wait=1.0)]
        return found[0].finished_at is not None

    wait_until(is_over, GENEROUS)
    return found[0]


def test_it_enqueues_waits_lists_cancels_and_retries(generated: SimpleNamespace) -> None:
    call, models = generated.call, generated.models
    to = models.Address(street="Elm")
    assert to.city == "Jena"
    body = models.SendBody(
        params=models.SendParams(weight=2.5, to=to), options=models.TaskOptions(tags=["x"])
    )
    job = call("enqueue_send", body=body)
    assert isinstance(job, models.SendJob)
    assert (job.task, job.is_new, job.tags) == ("send", True, ["mail", "x"])

    end = ended(generated, job.id)
    assert (end.status, end.actions) == (
        models.JobStatus.SUCCEEDED,
        [models.JobAction.RETRY, models.JobAction.DELETE],
    )
    result = models.SendJob.from_dict(end.to_dict()).result
    assert result == models.Parcel(weight=2.5, to=to)

    page = call("jobs_list", tag="x", status=[models.JobStatus.SUCCEEDED])
    assert [each.id for each in page.items] == [job.id]
    assert [each.message for each in call("jobs_logs", job.id).items] == ["sent"]

    waiting = call("enqueue_wait", body=models.WaitBody(params=models.WaitParams()))
    asked = call("jobs_cancel", waiting.id)
    assert asked.cancel_requested_at is not None
    assert ended(generated, waiting.id).status == models.JobStatus.CANCELLED

    again = call("jobs_retry", job.id)
    assert again.id == job.id
    assert ended(generated, job.id).attempt == 2


def test_problems_are_typed(generated: SimpleNamespace) -> None:
    call, models = generated.call, generated.models
    params = models.SendParams(weight=-1, to=models.Address(street="Elm"))
    problem = call("enqueue_send", body=models.SendBody(params=params))
    assert isinstance(problem, models.JobsProblem)
    assert problem.code == models.JobsProblemCode.INVALID_ARGUMENTS
    assert problem.errors[0].to_dict()["field"] == "weight"


def test_the_rest_of_the_api(generated: SimpleNamespace) -> None:
    call, models = generated.call, generated.models
    assert {"send", "sums.add", "wait", "secret"} == {each.name for each in call("jobs_tasks")}
    params = models.SumsAddParams(numbers=[1, 2])
    job = call("enqueue_sums_add", body=models.SumsAddBody(params=params), idempotency_key="k")
    assert call("jobs_result", ended(generated, job.id).id) == 3
    paused = call("jobs_pause_queue", "default", body=models.Pause(reason="The flood"))
    assert (paused.paused, paused.pause_reason) == (True, "The flood")
    waiting = call("enqueue_wait", body=models.WaitBody(params=models.WaitParams()))
    assert call("jobs_edit", waiting.id, body=models.EditJob(priority=5)).priority == 5
    assert call("jobs_stats").counts.queued == 1
    change = models.BulkChange(models.BulkAction.CANCEL, models.BulkFilter(task="wait"))
    assert call("jobs_bulk", body=change).done == 1
    call("jobs_delete", job.id)
    assert call("jobs_get", job.id).code == models.JobsProblemCode.JOB_NOT_FOUND
