"""`fastapi-jobs cancel` and `retry`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer

from fastapi_jobs.cli.finding import find_ids
from fastapi_jobs.cli.printing import print_json, print_table
from fastapi_jobs.cli.starting import (
    FAILED,
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    opened_store,
    refusing,
)
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import IllegalMove, JobNotFound
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.moves import RequestCancel, RetryJob
from fastapi_jobs.store.transaction import Operation

IdsArgument = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Ids, or enough of their beginning.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the job.")
]
ASKED = "asked to stop"


def cancel(
    job_ids: IdsArgument,
    reason: ReasonOption = "cancelled on the command line",
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel waiting jobs, ask running ones to stop.

    Exits with 1 if one of them has succeeded or failed already; the others are cancelled all the
    same.
    """
    with refusing():
        loaded = load_settings(settings, env)
    _act(loaded, job_ids, lambda job_id: RequestCancel(job_id, utc_now(), reason), as_json)


def retry(
    job_ids: IdsArgument,
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run finished jobs again, with all their retries.

    Exits with 1 if one of them is not finished, or its unique key is held by another; the others
    run again all the same.
    """
    with refusing():
        loaded = load_settings(settings, env)
    _act(loaded, job_ids, lambda job_id: RetryJob(job_id, utc_now()), as_json)


def _act(
    settings: Settings,
    words: Sequence[str],
    operation: Callable[[UUID], Operation[JobStatus]],
    as_json: bool,
) -> None:
    done: list[dict[str, Any]] = []
    with opened_store(settings) as store:
        for job_id in find_ids(store, words):
            try:
                status = store.write_sync(operation(job_id))
                done.append({"id": str(job_id), "ok": True, "status": status.value, "error": None})
            except (IllegalMove, JobNotFound) as refused:
                status_now = refused.status if isinstance(refused, IllegalMove) else None
                done.append(
                    {"id": str(job_id), "ok": False, "status": status_now, "error": str(refused)}
                )
    if as_json:
        print_json(done)
    else:
        print_table([(each["id"], each["error"] or _word(each["status"])) for each in done])
    if not all(each["ok"] for each in done):
        raise typer.Exit(FAILED)


def _word(status: str) -> str:
    return ASKED if status == JobStatus.RUNNING else status
