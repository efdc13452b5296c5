"""`fastapi-jobs enqueue`."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from fastapi_jobs.api.schemas import job_out
from fastapi_jobs.app import FastAPIJobs
from fastapi_jobs.cli.arguments import read_arguments
from fastapi_jobs.cli.completing import queue_names, task_names
from fastapi_jobs.cli.finding import say
from fastapi_jobs.cli.printing import print_json
from fastapi_jobs.cli.starting import (
    FAILED,
    AppDirOption,
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    load_tasks,
    refusing,
)
from fastapi_jobs.conf.rules import RuleBroken, check_duration
from fastapi_jobs.enqueueing import job_from_text, store_one
from fastapi_jobs.errors import WaitTimeout
from fastapi_jobs.explaining import explain
from fastapi_jobs.handle import Job
from fastapi_jobs.registry import TaskDefinition, registry
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.rows import NewJob
from fastapi_jobs.using import Using

QUIET_SECONDS = 2.0
"""After so long a job that has not started is explained to whoever waits for it."""

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="A task's name.", autocompletion=task_names)
]
WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Its arguments; JSON where no text is wanted."),
]
KwargsOption = Annotated[
    str | None, typer.Option("--kwargs", metavar="JSON", help="All arguments as one JSON object.")
]
QueueOption = Annotated[
    str | None,
    typer.Option("--queue", metavar="NAME", help="Instead of its own.", autocompletion=queue_names),
]
PriorityOption = Annotated[
    int | None, typer.Option("--priority", help="-100 to 100; larger runs first.")
]
AfterOption = Annotated[
    str | None,
    typer.Option("--run-after", metavar="TIME", help='Not before: "30m", "2h", or a time.'),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option("--expires", metavar="TIME", help="Cancelled if it has not started by then."),
]
BackendOption = Annotated[
    str | None, typer.Option("--backend", metavar="NAME", help="Where it runs.")
]
KeyOption = Annotated[
    str | None, typer.Option("--unique-key", metavar="KEY", help="One unfinished job of this key.")
]
OwnerOption = Annotated[str | None, typer.Option("--owner", metavar="OWNER", help="Whose it is.")]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; may be repeated.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait for its end; exit with 1 unless it succeeded.")
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Wait no longer than so many seconds.")
]


def enqueue(
    task: TaskArgument,
    words: WordsArgument = None,
    kwargs: KwargsOption = None,
    queue: QueueOption = None,
    priority: PriorityOption = None,
    run_after: AfterOption = None,
    expires: ExpiresOption = None,
    backend: BackendOption = None,
    unique_key: KeyOption = None,
    owner: OwnerOption = None,
    tag: TagOption = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Store a job of a task; with --wait, see its end."""
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    load_tasks(loaded)
    with refusing(loaded):
        definition = registry.find(task)
        arguments = read_arguments(definition, words or (), kwargs)
        runtime = FastAPIJobs(loaded, dispatch=False).runtime
        using = Using(runtime=runtime).changed(
            {
                "queue": queue,
                "priority": priority,
                "run_after": _moment("--run-after", run_after),
                "expires": _moment("--expires", expires),
                "backend": backend,
                "unique_key": unique_key,
                "owner": owner,
                "tags": tag,
            }
        )
        text = definition.arguments.dump_json((), arguments)
        new = job_from_text(runtime, definition, using, text)

        job = asyncio.run(
            _carry_out(runtime, definition, new, wait=wait, timeout=timeout, as_json=as_json)
        )
    if wait and job.status is not JobStatus.SUCCEEDED:
        raise typer.Exit(FAILED)


async def _carry_out(
    runtime: Runtime,
    definition: TaskDefinition,
    new: NewJob,
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> Job[Any]:
    try:
        job = await store_one(runtime, definition, new)
        is_new = job.is_new
        if not as_json:
            typer.echo(_stored(job))
        if wait:
            job = await _end_of(runtime, job, timeout)
        if as_json:
            await _print_record(runtime, job, is_new)
        elif job.status.is_final:
            await _print_end(runtime, job)
        return job
    finally:
        await runtime.stop()


def _moment(option: str, value: str | None) -> datetime | timedelta | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    try:
        return check_duration(value)
    except RuleBroken:
        rule = 'give "30s", "5m", "2h", "1d", or a time such as "2030-01-31T08:00:00Z".'
        raise typer.BadParameter(f"{value!r}: {rule}", param_hint=option) from None


def _stored(job: Job[Any]) -> str:
    if not job.is_new:
        return f"{job.id} holds the same unique key; it is {job.status}. Nothing was stored."
    return f"{job.id} {job.task} {job.status} in queue {job.queue}"


async def _end_of(runtime: Runtime, job: Job[Any], timeout: float | None) -> Job[Any]:
    """The job when it has finished, or as it is when the time is over; says what holds it up."""
    quiet = QUIET_SECONDS if timeout is None else min(QUIET_SECONDS, timeout)
    try:
        return await job.wait(quiet)
    except WaitTimeout:
        job = await job.refresh()
    if job.status is not JobStatus.RUNNING and not job.status.is_final:
        reasons = (await explain(runtime.store, runtime.settings, job.id)).reasons
        say("\n".join(f"still {job.status}: {each.text}" for each in reasons))
    try:
        return await job.wait(None if timeout is None else max(timeout - quiet, 0.0))
    except WaitTimeout:
        say(f"Job {job.id} has not finished after {timeout:g} s. It goes on without you.")
        return await job.refresh()


async def _print_record(runtime: Runtime, job: Job[Any], is_new: bool) -> None:
    record = await runtime.store.read(queries.get_job, job.id)
    if record is not None:
        print_json(job_out(record, is_new=is_new).model_dump(mode="json"))


async def _print_end(runtime: Runtime, job: Job[Any]) -> None:
    record = await runtime.store.read(queries.get_job, job.id)
    if job.status is JobStatus.SUCCEEDED:
        typer.echo(f"succeeded: {record.result if record is not None else None}")
    else:
        say(f"{job.status}: {job.error or job.reason or 'nothing was recorded'}")
