"""`fastapi-jobs prune`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from fastapi_jobs.cli.completing import statuses
from fastapi_jobs.cli.listing import checked_moment
from fastapi_jobs.cli.printing import print_json, print_table, progress, short_time
from fastapi_jobs.cli.starting import (
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    opened_store,
    refusing,
)
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.status import FINAL, JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.store.moves import Prune
from fastapi_jobs.store.pruning import count_old

BATCH = 500


def _checked(values: list[str] | None) -> list[str] | None:
    final = [each.value for each in JobStatus if each.is_final]
    for value in values or ():
        if value not in final:
            hint = did_you_mean(value, final)
            rule = f"only finished jobs are pruned: {', '.join(final)}."
            raise typer.BadParameter(f"{value!r}: {rule}{hint}")
    return values


OlderOption = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="TIME",
        help='Finished so long ago: "7d", "12h"; else as retention in the settings says.',
        show_default=False,
    ),
]
StatusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only jobs that ended so; may be repeated.",
        autocompletion=statuses,
        callback=_checked,
    ),
]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Delete nothing, only count.")]


def prune(
    older_than: OlderOption = None,
    status: StatusOption = None,
    dry_run: DryOption = False,
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete finished jobs that are older than is kept, with their attempts and log lines."""
    before = checked_moment(older_than)
    with refusing():
        loaded = load_settings(settings, env)
    wanted = [JobStatus(each) for each in status or sorted(FINAL)]
    edges = _edges(loaded, wanted, before)
    with opened_store(loaded) as store:
        counts = {each: store.read_sync(count_old, each, edge) for each, edge in edges.items()}
        if not dry_run:
            counts = _delete(store, edges, sum(counts.values()))
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "deleted": {each.value: count for each, count in counts.items()},
                "before": {each.value: edge.isoformat() for each, edge in edges.items()},
            }
        )
        return
    word = "would be deleted" if dry_run else "deleted"
    rows = [
        (each.value, f"{counts[each]:,} {word}, finished before {short_time(edges[each])} UTC")
        if each in edges
        else (each.value, "kept for ever (retention); --older-than says otherwise")
        for each in wanted
    ]
    print_table(rows)


def _edges(
    settings: Settings, wanted: Sequence[JobStatus], before: datetime | None
) -> dict[JobStatus, datetime]:
    """Before when jobs of each status go; none that are kept for ever."""
    now = utc_now()
    edges = {}
    for status in wanted:
        kept = getattr(settings.retention, status.value)
        if before is not None:
            edges[status] = before
        elif kept is not None:
            edges[status] = now - kept
    return edges


def _delete(store: Store, edges: dict[JobStatus, datetime], total: int) -> dict[JobStatus, int]:
    deleted = dict.fromkeys(edges, 0)
    with progress("deleting", total) as advance:
        for status, edge in edges.items():
            while count := store.write_sync(Prune(status, edge, BATCH)):
                deleted[status] += count
                advance(count)
    return deleted
