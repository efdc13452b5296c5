"""What the demo shows in the terminal."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from example_project.batch import Batch
from fastapi_jobs import FastAPIJobs, Job, JobStatus

ROWS = 15
"""Jobs that are shown one by one; of more, those that still run come first."""

ADMIN = "admin site"
DEMO_USER, DEMO_PASSWORD = "demo", "look-around"
"""The login of the admin site in development; settings.toml has the hash."""

COLOURS = {
    JobStatus.SCHEDULED: "yellow",
    JobStatus.QUEUED: "default",
    JobStatus.RUNNING: "cyan",
    JobStatus.SUCCEEDED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "magenta",
}


def show_where(console: Console, base: str, jobs: FastAPIJobs, one: Job[object] | None) -> None:
    """Where to look."""
    settings = jobs.settings
    api = settings.api_prefix
    places = {"first page": "/", ADMIN: settings.admin_prefix}
    places |= {"HTTP API": "/docs", "all jobs": api}
    if one is not None:
        places["one job"] = f"{api}/{one.id}"
    for what, path in places.items():
        console.print(f"  {what:<12}{base}{path}", soft_wrap=True, highlight=False)
        if what == ADMIN and DEMO_USER in settings.admin.users:
            login = f"log in as {DEMO_USER}, password {DEMO_PASSWORD}"
            console.print(f"  {'':<12}{login}", highlight=False)
    console.print()


@contextmanager
def following(console: Console, batch: Batch) -> Iterator[Callable[[], None]]:
    """A table that follows the batch; where there is no terminal, only its end."""
    if not console.is_terminal:
        yield lambda: None
        console.print(as_table(batch))
        return
    with Live(console=console, get_renderable=lambda: as_table(batch), auto_refresh=False) as live:
        yield live.refresh
    console.print()


def as_table(batch: Batch) -> RenderableType:
    """The batch as it is now."""
    table = Table("task", "queue", "status", "attempt", "progress", "", box=None, pad_edge=False)
    for job in _worth_showing(batch)[:ROWS]:
        status = Text(job.status.value, style=COLOURS.get(job.status, "default"))
        note = (job.progress or {}).get("message") or ""
        if job.status is not JobStatus.SUCCEEDED:
            note = job.error or job.reason or note
        attempt = str(job.attempt or "")
        table.add_row(short(job), job.queue, status, attempt, _bar(job), Text(_cut(note)))
    hidden = len(batch.jobs) - ROWS
    ended = len(batch.jobs) - len(batch.unfinished)
    foot = f"{ended} of {len(batch.jobs)} jobs ended, {batch.seconds:.1f} s"
    return Group(table, Text(foot + (f", {hidden} not shown" if hidden > 0 else ""), style="dim"))


def summary(batch: Batch) -> RenderableType:
    """What came of the batch."""
    table = Table("task", "succeeded", "failed", "cancelled", "repeats", "mean run", box=None)
    by_task: dict[str, list[Job[object]]] = {}
    for job in batch.jobs.values():
        by_task.setdefault(short(job), []).append(job)
    for name, of_task in sorted(by_task.items()):
        counts = Counter(job.status for job in of_task)
        ends = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
        repeats = sum(max(job.attempt - 1, 0) for job in of_task)
        numbers = [str(counts[end]) for end in ends]
        table.add_row(name, *numbers, str(repeats), f"{_mean_seconds(of_task):.2f} s")
    head = (
        f"The first batch has ended: {len(batch.jobs)} jobs in {batch.seconds:.1f} s, "
        f"{batch.count(JobStatus.SUCCEEDED)} succeeded, {batch.count(JobStatus.FAILED)} failed, "
        f"{batch.repeated} attempts were repeats."
    )
    return Group(Text(head, style="bold"), table)


def short(job: Job[object]) -> str:
    """A task's name without its module."""
    return job.task.rpartition(".")[2]


def _worth_showing(batch: Batch) -> Sequence[Job[object]]:
    if len(batch.jobs) <= ROWS:
        return list(batch.jobs.values())
    return sorted(batch.jobs.values(), key=lambda job: (job.status.is_final, not job.progress))


def _bar(job: Job[object]) -> RenderableType:
    progress = job.progress or {}
    if not progress.get("total"):
        return ""
    return ProgressBar(total=progress["total"], completed=progress["done"], width=20)


def _cut(text: str, most: int = 60) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"


def _mean_seconds(of_task: Sequence[Job[object]]) -> float:
    times = [
        (job.finished_at - job.started_at).total_seconds()
        for job in of_task
        if job.started_at and job.finished_at
    ]
    return sum(times) / len(times) if times else 0.0
