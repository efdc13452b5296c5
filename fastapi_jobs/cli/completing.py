"""What the shell offers when Tab is pressed. Whatever goes wrong here offers nothing."""

import os
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import typer

from fastapi_jobs.checks import import_tasks
from fastapi_jobs.cli.finding import known_queues
from fastapi_jobs.cli.starting import load_settings
from fastapi_jobs.conf import Settings
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store


def _quiet(
    offer: Callable[[typer.Context], Iterable[str]],
) -> Callable[[typer.Context, str], list[str]]:
    """An offer that never raises and never prints, narrowed to what was typed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            try:
                return sorted(each for each in offer(ctx) if each.startswith(incomplete))
            except (Exception, SystemExit):
                return []

    return complete


@_quiet
def task_names(ctx: typer.Context) -> Iterable[str]:
    """The registered tasks."""
    import_tasks(_settings(ctx))
    return registry


@_quiet
def queue_names(ctx: typer.Context) -> Iterable[str]:
    """The queues of settings, tasks and store."""
    settings = _settings(ctx)
    import_tasks(settings)
    store = Store(settings.database_url, auto_migrate=False)
    try:
        return known_queues(settings, store)
    except Exception:
        return known_queues(settings)  # the database is away; these are known all the same
    finally:
        store.close()


@_quiet
def statuses(ctx: typer.Context) -> Iterable[str]:
    """Every status."""
    return [each.value for each in JobStatus]


def _settings(ctx: typer.Context) -> Settings:
    given = ctx.params
    return load_settings(given.get("settings"), given.get("env"), given.get("app_dir") or ".")
