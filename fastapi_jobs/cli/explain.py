"""`fastapi-jobs explain`."""

from typing import Any

import typer

from fastapi_jobs.cli.finding import find_id
from fastapi_jobs.cli.printing import print_json
from fastapi_jobs.cli.showing import IdArgument
from fastapi_jobs.cli.starting import (
    AppDirOption,
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    load_tasks,
    opened_store,
    refusing,
)
from fastapi_jobs.explaining import Explanation, explain_sync


def explain(
    job_id: IdArgument,
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Say why a job is not running, or how it ended."""
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    # Limits and backends of tasks are in the code; without it the rest is still true.
    load_tasks(loaded, must=False)
    with opened_store(loaded) as store:
        found = explain_sync(store, loaded, find_id(store, job_id))
    if as_json:
        print_json(as_values(found))
        return
    typer.echo(f"Job {found.id} ({found.task}, queue {found.queue}) is {found.status}.")
    for reason in found.reasons:
        typer.echo(f"- {reason.text}")


def as_values(found: Explanation) -> dict[str, Any]:
    """An explanation as JSON, the same as over HTTP."""
    return {
        "id": str(found.id),
        "task": found.task,
        "queue": found.queue,
        "status": found.status.value,
        "reasons": [
            {"code": each.code.value, "text": each.text, "values": dict(each.values)}
            for each in found.reasons
        ],
    }
