"""Tables for people, JSON for scripts."""

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer

WIDE = 10_000
"""The width of what is not a terminal: nothing is wrapped there, so that grep finds it."""


STATUS_STYLES = {
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "yellow",
}


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    rows: Iterable[Sequence[str]],
    *,
    head: Sequence[str] = (),
    styles: Sequence[str] = (),
    styled: int = 0,
) -> None:
    """Print rows in columns, colours only on a terminal: `styles` is for the column `styled`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    table = Table(box=None, show_header=bool(head), pad_edge=False, padding=(0, 2, 0, 0))
    rows = [tuple(row) for row in rows]
    for index in range(len(rows[0]) if rows else len(head)):
        table.add_column(head[index] if head else "", overflow="fold", no_wrap=index == 0)
    for index, row in enumerate(rows):
        style = styles[index] if styles else ""
        # Text, because a cell such as "settings.toml [default]" would be read as markup.
        table.add_row(
            *(Text(cell, style=style if at == styled else "") for at, cell in enumerate(row))
        )
    console = Console(width=width, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def short_time(at: datetime | None) -> str:
    """A time for a table, in UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def one_line(text: str, most: int = 100) -> str:
    """The first line of a text, cut."""
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first if len(first) <= most else first[: most - 1] + "…"


@contextmanager
def progress(words: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while something takes long, on a terminal only; gives `advance(by)`."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(words, total=total)
        yield lambda by: bar.advance(line, by)
