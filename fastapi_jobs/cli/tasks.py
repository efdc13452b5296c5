"""`fastapi-jobs tasks`."""

import inspect
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from fastapi_jobs.checks import queue_of
from fastapi_jobs.claiming import effective_backend
from fastapi_jobs.cli.completing import task_names
from fastapi_jobs.cli.printing import print_json, print_table
from fastapi_jobs.cli.starting import (
    AppDirOption,
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    load_tasks,
    refuse,
    refusing,
)
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import UnknownTask
from fastapi_jobs.registry import TaskDefinition, registry

PatternArgument = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]",
        help='Only this task, or a pattern: "billing.*".',
        autocompletion=task_names,
        show_default=False,
    ),
]
HEAD = ("task", "queue", "backend", "retries", "timeout", "max_running", "unique", "api")


def tasks(
    name: PatternArgument = "*",
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Show the registered tasks and their options."""
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    load_tasks(loaded)
    found = [each for key, each in sorted(registry.items()) if fnmatchcase(key, name)]
    if not found:
        refuse(str(UnknownTask(name, registry)))
    described = [describe(loaded, each) for each in found]
    if as_json:
        print_json(described)
        return
    print_table([_row(each) for each in described], head=HEAD)


def describe(settings: Settings, definition: TaskDefinition) -> dict[str, Any]:
    """A task with its effective options, as JSON."""
    options = definition.options
    queue = queue_of(settings, definition)
    retries = settings.retries if options.retry is None else options.retry.max
    return {
        "name": definition.name,
        "description": inspect.getdoc(definition.function) or "",
        "queue": queue,
        "backend": effective_backend(settings, definition, queue),
        "priority": options.priority,
        "retries": retries,
        "timeout": settings.timeout if options.timeout is None else options.timeout,
        "expires": options.expires,
        "unique": options.unique is not None,
        "max_running": options.max_running,
        "on_crash": options.on_crash or settings.on_crash,
        "api": options.api,
        "store_result": options.store_result,
        "tags": list(options.tags),
        "parameters": definition.arguments.json_schema(),
    }


def _row(task: dict[str, Any]) -> list[str]:
    return [task["name"], *_cells(task[key] for key in HEAD[1:])]


def _cells(values: Iterable[object]) -> Iterable[str]:
    for value in values:
        match value:
            case None | False:
                yield "-"
            case True:
                yield "yes"
            case float():
                yield f"{value:g} s"
            case _:
                yield str(value)
