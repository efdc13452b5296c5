"""Every command: its module, its function and its line in `--help`. A new one is added here.

Nothing but typer is imported before a command is chosen, so that `--help` and a misspelt word are
answered at once.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

PACKAGE = "fastapi_jobs.cli"


class Command(NamedTuple):
    """Where a command is, and what `--help` says of it: the first line of its docstring."""

    module: str
    function: str
    summary: str


COMMANDS = {
    "worker": Command("worker", "worker", "Run jobs in this process, without an API."),
    "tasks": Command("tasks", "tasks", "Show the registered tasks and their options."),
    "enqueue": Command("enqueue", "enqueue", "Store a job of a task; with --wait, see its end."),
    "list": Command("listing", "list_jobs", "List jobs, page by page."),
    "show": Command("showing", "show", "Show one job: record, attempts, last log lines, result."),
    "explain": Command("explain", "explain", "Say why a job is not running, or how it ended."),
    "cancel": Command("acting", "cancel", "Cancel waiting jobs, ask running ones to stop."),
    "retry": Command("acting", "retry", "Run finished jobs again, with all their retries."),
    "pause": Command("queues", "pause", "Start no more jobs of a queue."),
    "resume": Command("queues", "resume", "Start jobs of a paused queue again."),
    "prune": Command("prune", "prune", "Delete finished jobs that are older than is kept."),
    "migrate": Command("migrate", "migrate", "Make the tables, or bring them to this version."),
    "admin-password": Command(
        "admin_password", "admin_password", "Make the hash of a password for the admin site."
    ),
    "check": Command("check", "check", "Find what would hurt in production."),
    "bench": Command("bench", "bench", "Measure this machine, and say what to set."),
    "settings": Command(
        "settings", "settings", "Show the settings in force and where each came from."
    ),
}


class LazyCommands(TyperGroup):
    """The group of COMMANDS, each imported when it is wanted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)  # the names, for "Did you mean"

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, loaded now."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The names and summaries for `--help`, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.summary) for name, each in COMMANDS.items()])


def load(name: str) -> Any:
    """The click command of this name."""
    entry = COMMANDS[name]
    function: Callable[..., None] = getattr(
        import_module(f"{PACKAGE}.{entry.module}"), entry.function
    )
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, no_args_is_help=False)(function)
    return typer.main.get_command(app)


def make_app() -> typer.Typer:
    """The Typer application with every command."""
    app = typer.Typer(
        cls=LazyCommands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_about)
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed  # slow, and seldom wanted

        typer.echo(f"fastapi-jobs {installed('fastapi-jobs')}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Durable background jobs for FastAPI.

    Exit codes: 0 all is well; 1 something asked about is not; 2 the command could not do its
    work; 3 not now, try again.
    """
