"""`fastapi-jobs list`."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from fastapi_jobs.api.schemas import summary_of
from fastapi_jobs.cli.completing import queue_names, statuses, task_names
from fastapi_jobs.cli.finding import say
from fastapi_jobs.cli.printing import (
    STATUS_STYLES,
    one_line,
    print_json,
    print_table,
    short_time,
)
from fastapi_jobs.cli.starting import (
    EnvOption,
    JsonOption,
    SettingsOption,
    load_settings,
    opened_store,
    refusing,
)
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf.rules import RuleBroken, check_duration
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import queries

MOST = 1000
HEAD = ("id", "task", "queue", "status", "attempt", "created (UTC)", "about")


def _checked_status(value: str) -> str:
    if value not in list(JobStatus):
        known = [each.value for each in JobStatus]
        hint = did_you_mean(value, known)
        raise typer.BadParameter(f"{value!r} is no status: {', '.join(known)}.{hint}")
    return value


def _each_checked(values: list[str] | None) -> list[str] | None:
    return None if values is None else [_checked_status(each) for each in values]


def checked_moment(value: str | None) -> datetime | None:
    """A time: ISO 8601 with its offset, or how long ago as "2h"."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if at is not None:
        if at.tzinfo is None:
            raise typer.BadParameter(f'{value!r} has no offset: write "{value}Z" for UTC.')
        return at
    try:
        ago = check_duration(value)
    except RuleBroken:
        ago = None
    if ago is None:
        rule = 'give a time such as "2030-01-31T08:00:00Z", or how long ago: "7d", "12h", "30m".'
        raise typer.BadParameter(f"{value!r}: {rule}")
    try:
        return utc_now() - ago
    except OverflowError:
        return utc_now() - timedelta(days=36_500)


StatusOption = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="STATUS",
        help="Only jobs with this status; may be repeated.",
        autocompletion=statuses,
        callback=_each_checked,
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Only this task.", autocompletion=task_names),
]
QueueOption = Annotated[
    str | None,
    typer.Option("--queue", metavar="NAME", help="Only this queue.", autocompletion=queue_names),
]
TagOption = Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only this tag.")]
OwnerOption = Annotated[
    str | None, typer.Option("--owner", metavar="OWNER", help="Only this owner's jobs.")
]
AfterOption = Annotated[
    str | None,
    typer.Option("--created-after", metavar="TIME", help='From this time on, or "2h": 2 h ago.'),
]
BeforeOption = Annotated[
    str | None, typer.Option("--created-before", metavar="TIME", help="Before this time.")
]
OldestOption = Annotated[bool, typer.Option("--oldest", help="The oldest first.")]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=MOST, help="How many jobs a page has.")
]
CursorOption = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="The next page, as the last said.")
]


def list_jobs(
    status: StatusOption = None,
    task: TaskOption = None,
    queue: QueueOption = None,
    tag: TagOption = None,
    owner: OwnerOption = None,
    created_after: AfterOption = None,
    created_before: BeforeOption = None,
    oldest: OldestOption = False,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    settings: SettingsOption = None,
    env: EnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, page by page."""
    which = JobFilter(
        [JobStatus(each) for each in status or ()],
        task,
        queue,
        tag,
        owner,
        checked_moment(created_after),
        checked_moment(created_before),
    )
    with refusing():
        loaded = load_settings(settings, env)
    with opened_store(loaded) as store:
        page = store.read_sync(
            queries.list_jobs, which, limit=limit, cursor=cursor, newest=not oldest
        )
    if as_json:
        items = [summary_of(each).model_dump(mode="json") for each in page.items]
        print_json({"items": items, "next_cursor": page.next_cursor})
        return
    if page.items:
        print_table(
            [_row(each) for each in page.items],
            head=HEAD,
            styles=[STATUS_STYLES.get(each.status, "") for each in page.items],
            styled=HEAD.index("status"),
        )
    elif page.next_cursor is None:
        say("No job matches.")
    if page.next_cursor is not None:
        say(f"More: the same with --cursor {page.next_cursor}")


def _row(job: JobRecord) -> list[str]:
    return [
        str(job.id),
        job.task,
        job.queue,
        job.status,
        str(job.attempt),
        short_time(job.created_at),
        _about(job),
    ]


def _about(job: JobRecord) -> str:
    match JobStatus(job.status):
        case JobStatus.SCHEDULED:
            return f"due {short_time(job.run_after)}"
        case JobStatus.FAILED:
            return one_line(job.error or "", 60)
        case JobStatus.CANCELLED:
            return one_line(job.reason or "", 60)
        case JobStatus.RUNNING if job.cancel_requested_at is not None:
            return "asked to stop"
        case _:
            return ""
