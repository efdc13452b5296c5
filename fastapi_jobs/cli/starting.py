"""What every command begins with: its settings, and refusals that are sentences."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, NoReturn

import typer

from fastapi_jobs.checks import import_tasks, reach_cure
from fastapi_jobs.conf import Settings, load
from fastapi_jobs.conf.variables import ENVIRONMENT, MODULE
from fastapi_jobs.errors import FastAPIJobsError, QueueFull, StoreUnavailable
from fastapi_jobs.store import Store
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.store import store_of

FAILED = 1
REFUSED = 2
NOT_NOW = 3

SettingsOption = Annotated[
    str | None,
    typer.Option(
        "--settings",
        metavar="PATH",
        help=f"The settings file, or a dotted module; else {MODULE}, else settings.toml.",
        show_default=False,
    ),
]
EnvOption = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="NAME",
        help=f"The environment whose tables apply; else {ENVIRONMENT}, else development.",
        show_default=False,
    ),
]
AppDirOption = Annotated[
    str, typer.Option("--app-dir", metavar="DIR", help="Look for your modules here first.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def load_settings(settings: str | None, env: str | None, app_dir: str = ".") -> Settings:
    """The settings that the options choose. Whatever this process starts sees the same ones.

    Raises:
        SettingsError: all that is wrong with them.
    """
    folder = os.path.realpath(app_dir)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if settings is not None:
        os.environ[MODULE] = settings
    if env is not None:
        os.environ[ENVIRONMENT] = env
    return load()


def refuse(text: str, code: int = REFUSED) -> NoReturn:
    """Say why this command cannot do its work, and end."""
    typer.echo(text, err=True)
    raise typer.Exit(code)


@contextmanager
def refusing(settings: Settings | None = None) -> Iterator[None]:
    """Turn what goes wrong inside into a sentence; `settings` tell where the database is named."""
    try:
        yield
    except StoreUnavailable as error:
        refuse(str(error) if settings is None else f"{error}. {reach_cure(settings)}", NOT_NOW)
    except QueueFull as error:
        refuse(str(error), NOT_NOW)
    except FastAPIJobsError as error:
        refuse(str(error))
    except ImportError as error:
        refuse(f"{error}.")
    except OSError as error:
        refuse(f"{error}.")


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database of these settings, without looking at its tables."""
    with refusing(settings):
        database = Database(settings.database_url, durability=settings.durability)
        try:
            yield database
        finally:
            database.dispose()


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The store of these settings, ready; what goes wrong inside becomes a sentence."""
    with refusing(settings):
        store = store_of(settings)
        try:
            store.open()
            yield store
        finally:
            store.close()


def load_tasks(settings: Settings, *, must: bool = True) -> None:
    """Import the task modules; what they print goes to stderr, for stdout may be JSON.

    A module that cannot be imported ends the command, or is only told where `must` is False.
    """
    with redirect_stdout(sys.stderr):
        problems = import_tasks(settings)
    if not problems:
        return
    text = "\n".join(each.text for each in problems)
    if must:
        refuse(text)
    typer.echo(text, err=True)
