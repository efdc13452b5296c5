"""`fastapi-jobs bench`."""

from dataclasses import asdict
from typing import Annotated

import typer

from fastapi_jobs.cli.advice import advise
from fastapi_jobs.cli.measuring import Latency, measure
from fastapi_jobs.cli.printing import print_json, print_table, progress
from fastapi_jobs.cli.starting import (
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    refusing,
)
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.scratch import scratch_url

SecondsOption = Annotated[
    float, typer.Option("--seconds", min=0.1, max=600, help="About how long to measure.")
]


def bench(
    seconds: SecondsOption = 5.0,
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, and say what to set.

    It works in a store of its own, beside the SQLite file or in a schema of its own on the
    PostgreSQL server, and takes it away again: your jobs are not touched.
    """
    with refusing():
        loaded = load_settings(settings, env)
    with (
        refusing(loaded),
        scratch_url(loaded.database_url) as url,
        progress("measuring", seconds) as advance,
    ):
        seen = measure(loaded, url, seconds, advance)
        place = Database(loaded.database_url).name
    advice = list(advise(loaded, seen))
    if as_json:
        print_json(
            {
                "database": place,
                "measured": asdict(seen),
                "advice": [each._asdict() | {"is_change": each.is_change} for each in advice],
            }
        )
        return
    print_table(
        [
            ("database", place),
            ("jobs", f"{seen.jobs_per_second:,.0f} a second, enqueued, run and recorded"),
            ('commit, durability "full"', _said(seen.commit_full)),
            ('commit, durability "normal"', _said(seen.commit_normal)),
            ("from enqueue to start", _said(seen.start)),
            ("cores", f"{seen.cores:g}"),
        ]
    )
    typer.echo("\nWhat to set:")
    for each in advice:
        change = f"{each.key} = {each.value}"
        was = f" (now {each.now})" if each.is_change else " (as it is)"
        typer.echo(f"- {change}{was}: {each.why}.")


def _said(latency: Latency) -> str:
    return f"{latency.p50:.2f} ms, 99 of 100 within {latency.p99:.2f} ms"
