"""`fastapi-jobs check`."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Annotated

import typer

from fastapi_jobs.checks import Finding, Level, examine
from fastapi_jobs.cli.printing import print_json, print_table
from fastapi_jobs.cli.starting import (
    FAILED,
    AppDirOption,
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
)
from fastapi_jobs.errors import SettingsError

StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 for warnings too, not only for errors.")
]
STYLES = {
    Level.OK: "green",
    Level.NOTE: "cyan",
    Level.WARNING: "yellow",
    Level.ERROR: "bold red",
}


def check(
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find what would hurt in production.

    It judges settings, tasks, database, workers, queues and broker, changes nothing, and exits
    with 1 if there is an error; with --strict, for a warning too.
    """
    findings = _findings(settings, env, app_dir)
    count = Counter(each.level for each in findings)
    bad = count[Level.ERROR] > 0 or (strict and count[Level.WARNING] > 0)
    if as_json:
        print_json({"ok": not bad, "findings": [each._asdict() for each in findings]})
    else:
        print_table(
            [(each.level.value, each.text) for each in findings],
            styles=[STYLES[each.level] for each in findings],
        )
        typer.echo(_summary(count))
    if bad:
        raise typer.Exit(FAILED)


def _findings(settings: str | None, env: str | None, app_dir: str) -> Sequence[Finding]:
    # The host's modules may print while they are imported: that must not spoil the JSON.
    with redirect_stdout(sys.stderr):
        try:
            return examine(load_settings(settings, env, app_dir))
        except SettingsError as error:
            return [Finding(Level.ERROR, "settings", str(each)) for each in error.problems]


def _summary(count: Counter[Level]) -> str:
    parts = [
        f"{count[level]} {level.value}{'' if count[level] == 1 else 's'}"
        for level in (Level.ERROR, Level.WARNING)
        if count[level]
    ]
    return f"{' and '.join(parts)}." if parts else "All is well."
