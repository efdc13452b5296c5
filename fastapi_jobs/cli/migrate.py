"""`fastapi-jobs migrate`."""

from typing import Annotated

import typer

from fastapi_jobs.checks import is_newer, judge_revision, sqlite_file
from fastapi_jobs.cli.starting import (
    FAILED,
    EnvOption,
    SettingsOption,
    load_settings,
    opened,
    refuse,
    refusing,
)
from fastapi_jobs.store.migrate import HEAD, current_revision, upgrade

CheckOption = Annotated[
    bool, typer.Option("--check", help="Change nothing; exit with 1 if a migration is needed.")
]


def migrate(
    settings: SettingsOption = None, env: EnvOption = None, check: CheckOption = False
) -> None:
    """Make the tables, or bring them to this version. Safe to run twice, and by several at once."""
    with refusing():
        loaded = load_settings(settings, env)
    file = sqlite_file(loaded)
    if check and file is not None and not file.exists():
        typer.echo(f"A migration is needed: {file} does not exist yet.")
        raise typer.Exit(FAILED)
    with opened(loaded) as database:
        before = current_revision(database)
        if is_newer(before):
            refuse(judge_revision(database.name, before).text)
        if before == HEAD:
            typer.echo(f"{database.name} is at revision {HEAD}: nothing to do.")
            return
        if check:
            have = f"revision {before}" if before else "none of our tables"
            typer.echo(f"A migration is needed: {database.name} has {have}, it should be {HEAD}.")
            raise typer.Exit(FAILED)
        upgrade(database)
        have = f"revision {before}" if before else "no tables"
        typer.echo(f"{database.name}: from {have} to revision {current_revision(database)}.")
