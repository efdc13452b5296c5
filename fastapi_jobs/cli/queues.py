"""`fastapi-jobs pause` and `resume`."""

import getpass
from typing import Annotated

import typer

from fastapi_jobs.cli.completing import queue_names
from fastapi_jobs.cli.finding import find_queue
from fastapi_jobs.cli.printing import print_json
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
from fastapi_jobs.clock import utc_now
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue

QueueArgument = Annotated[
    str, typer.Argument(metavar="QUEUE", help="A queue's name.", autocompletion=queue_names)
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; explain and check tell it.")
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who pauses it; else you.", show_default=False),
]


def pause(
    queue: QueueArgument,
    reason: ReasonOption = None,
    by: ByOption = None,
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Start no more jobs of a queue. Those that run are left alone."""
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    load_tasks(loaded, must=False)
    who = by or _whoever()
    with opened_store(loaded) as store:
        find_queue(loaded, store, queue)
        store.write_sync(PauseQueue(queue, utc_now(), who, reason))
    if as_json:
        print_json({"queue": queue, "paused": True, "by": who, "reason": reason})
        return
    typer.echo(f"Queue {queue!r} is paused. To go on: fastapi-jobs resume {queue}")


def resume(
    queue: QueueArgument,
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    as_json: JsonOption = False,
) -> None:
    """Start jobs of a paused queue again. It wins over `paused = true` in the settings."""
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    load_tasks(loaded, must=False)
    with opened_store(loaded) as store:
        find_queue(loaded, store, queue)
        store.write_sync(ResumeQueue(queue))
    if as_json:
        print_json({"queue": queue, "paused": False})
        return
    typer.echo(f"Queue {queue!r} runs.")


def _whoever() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return None
