"""`fastapi-jobs admin-password`."""

import json
import re
import sys
from typing import Annotated

import typer

from fastapi_jobs.conf.model import ROLES
from fastapi_jobs.errors import did_you_mean


def _checked_role(value: str) -> str:
    if value not in ROLES:
        raise typer.BadParameter(
            f"{value!r}: must be one of {', '.join(ROLES)}.{did_you_mean(value, ROLES)}"
        )
    return value


RoleOption = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        help="viewer looks, operator acts, admin deletes and sets limits too.",
        callback=_checked_role,
    ),
]
StdinOption = Annotated[
    bool, typer.Option("--stdin", help="Read the password from the first line of the input.")
]


def admin_password(
    name: Annotated[str, typer.Argument(help="Who logs in.")] = "admin",
    role: RoleOption = "admin",
    stdin: StdinOption = False,
) -> None:
    """Make the hash of a password for the admin site, as a table for settings.toml."""
    from fastapi_jobs.admin.passwords import SHORTEST, hash_password

    if stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < SHORTEST:
        raise typer.BadParameter(f"A password has at least {SHORTEST} characters.")
    # A key of TOML is bare, or a text as JSON has it.
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    typer.echo(f"[default.fastapi_jobs.admin.users.{key}]")
    typer.echo(f'password_hash = "{hash_password(password)}"')
    typer.echo(f'role = "{role}"')
