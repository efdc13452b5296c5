"""`fastapi-jobs settings`."""

from typing import Annotated

import typer

from fastapi_jobs.cli.printing import print_json, print_table
from fastapi_jobs.cli.starting import EnvOption, JsonOption, SettingsOption, load_settings, refusing
from fastapi_jobs.conf import describe

OriginOption = Annotated[
    str,
    typer.Option(
        "--origin",
        metavar="TEXT",
        help='Only keys whose origin contains this: "toml", "variable", "production" …',
        show_default=False,
    ),
]


def settings(
    settings: SettingsOption = None,
    env: EnvOption = None,
    origin: OriginOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the settings in force and where each came from; passwords are hidden."""
    with refusing():
        loaded = load_settings(settings, env)
    lines = [line for line in describe(loaded) if origin.lower() in line.origin.lower()]
    if as_json:
        print_json(
            {
                "environment": loaded.environment,
                "files": [str(file) for file in loaded.files],
                "settings": [line._asdict() for line in lines],
            }
        )
        return
    files = ", ".join(map(str, loaded.files)) or "no file of your own"
    typer.echo(f"environment {loaded.environment}, {files}")
    print_table(lines, head=("key", "value", "origin"))
