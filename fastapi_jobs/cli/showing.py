"""`fastapi-jobs show`."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic_core import from_json, to_json

from fastapi_jobs.api.schemas import attempt_out, job_out
from fastapi_jobs.cli.finding import find_job
from fastapi_jobs.cli.printing import one_line, print_json, print_table, short_time
from fastapi_jobs.cli.starting import (
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    opened_store,
    refusing,
)
from fastapi_jobs.logged import LoggedLine, logged_line
from fastapi_jobs.models import AttemptRecord, JobRecord, LogRecord
from fastapi_jobs.store import queries

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A job's id, or enough of its beginning.")
]
LinesOption = Annotated[
    int, typer.Option("--lines", min=0, help="How many of the last log lines to show.")
]


def show(
    job_id: IdArgument,
    lines: LinesOption = 20,
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one job: record, attempts, last log lines, result."""
    with refusing():
        loaded = load_settings(settings, env)
    with opened_store(loaded) as store:
        job = find_job(store, job_id)
        attempts = store.read_sync(queries.get_attempts, job.id)
        # The last attempt's alone: each may have max_log_lines.
        logs = store.read_sync(queries.get_logs, job.id, job.attempt) if lines else []
    last = logs[-lines:] if lines else []
    if as_json:
        print_json(_json(job, attempts, last))
        return
    print_table(_record(job))
    if attempts:
        typer.echo()
        print_table(
            [_attempt(each) for each in attempts],
            head=("attempt", "backend", "started (UTC)", "finished (UTC)", "outcome", "error"),
        )
    if last:
        typer.echo(f"\nlast log lines of attempt {job.attempt}" + _of(last, logs))
        for each in last:
            typer.echo(_line(logged_line(each)))
    traceback = attempts[-1].traceback if attempts else None
    if job.status == "failed" and traceback:
        typer.echo(f"\n{traceback.rstrip()}")


def _line(line: LoggedLine) -> str:
    texts = {
        name: value if isinstance(value, str) else to_json(value).decode()
        for name, value in line.fields.items()
    }
    told = "".join(f" {name}={one_line(text, 100)}" for name, text in texts.items())
    return f"{short_time(line.at)} {line.level} {line.message}{told}"


def _of(last: Sequence[LogRecord], logs: Sequence[LogRecord]) -> str:
    return f" ({len(last)} of {len(logs)})" if len(last) < len(logs) else ""


def _json(
    job: JobRecord, attempts: Sequence[AttemptRecord], logs: Sequence[LogRecord]
) -> dict[str, Any]:
    return {
        "job": job_out(job).model_dump(mode="json") | {"arguments": from_json(job.args)},
        "attempts": [attempt_out(each).model_dump(mode="json") for each in attempts],
        "logs": [
            {
                "attempt": each.attempt,
                "number": each.number,
                "at": each.at.isoformat(),
                "level": each.level,
                "logger": each.logger,
                "message": each.message,
                "fields": dict(logged_line(each).fields) or None,
            }
            for each in logs
        ],
    }


def _record(job: JobRecord) -> list[tuple[str, str]]:
    """The lines that say something; none is shown empty."""
    times = {
        "created": job.created_at,
        "due": job.run_after,
        "expires": job.expires_at,
        "started": job.started_at,
        "cancel asked": job.cancel_requested_at,
        "finished": job.finished_at,
    }
    lines = {
        "id": str(job.id),
        "task": job.task,
        "queue": job.queue,
        "status": job.status,
        "priority": str(job.priority),
        "backend": job.backend,
        "attempt": str(job.attempt),
        **{name: f"{short_time(at)} UTC" for name, at in times.items() if at is not None},
        "progress": job.progress,
        "owner": job.owner,
        "tags": ", ".join(from_json(job.tags)) if job.tags else None,
        "metadata": job.meta,
        "arguments": job.args,
        "reason": job.reason,
        "error": one_line(job.error or "", 500),
        "result": job.result,
    }
    return [(name, value) for name, value in lines.items() if value]


def _attempt(attempt: AttemptRecord) -> list[str]:
    return [
        str(attempt.number),
        attempt.backend,
        short_time(attempt.started_at),
        short_time(attempt.finished_at),
        attempt.outcome or "running",
        one_line(attempt.error or "", 60),
    ]
