"""The overview: what goes on, and what needs a person."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.throughput import SPANS, throughput
from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.checks import Level
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.figures import TaskEnds
from fastapi_jobs.store.queries import COUNT_CAP

TASKS_SHOWN = 12
QUEUES_SHOWN = 12
LEVEL_ICONS = {
    Level.ERROR: "alert-octagon",
    Level.WARNING: "alert-triangle",
    Level.NOTE: "info-circle",
}
CURES = {
    **dict.fromkeys(("paused", "long-wait"), "/queues"),
    **dict.fromkeys(
        ("no-worker", "stale-worker", "quiet-worker", "waiting", "unserved"), "/workers"
    ),
    "unknown-task": "/tasks",
}
"""The page where a person sees more of a finding, by its code."""


class ShownTask(NamedTuple):
    """One row of the table of tasks."""

    name: str
    ends: TaskEnds

    @property
    def failed_share(self) -> float:
        """Which part of what succeeded or failed did fail, from 0 to 1."""
        ended = self.ends.succeeded + self.ends.failed
        return self.ends.failed / ended if ended else 0.0


class OverviewPage(Page):
    """`/overview`."""

    name = "Overview"
    path = "/overview"
    icon = "ti ti-dashboard"

    @page("/overview", Action.STATS)
    async def overview(self, request: Request) -> Response:
        """Warnings, figures, throughput, queues, tasks and workers."""
        now, recent = await self.site.looks.now.get(), await self.site.looks.recent.get()
        span = SPANS.get(request.query_params.get("span", ""), SPANS["1h"])
        tasks = _worst_first(recent.tasks)
        return await self.render(
            request,
            "overview.html",
            now=now,
            cap=COUNT_CAP,
            spans=SPANS.values(),
            chart=throughput(recent.minutes, span, now.at),
            covers_since=recent.covers_since,
            tasks=tasks[:TASKS_SHOWN],
            more_tasks=len(tasks) - TASKS_SHOWN,
            queues=sorted(now.queues.items(), key=lambda each: _rank(each[1].counts))[
                :QUEUES_SHOWN
            ],
            icons=LEVEL_ICONS,
            cures=CURES,
        )


def _rank(counts: Mapping[JobStatus, int]) -> int:
    """The fullest queue first; the names are in order already."""
    return -sum(counts.values())


def _worst_first(tasks: Mapping[str, TaskEnds]) -> list[ShownTask]:
    shown = [ShownTask(*each) for each in tasks.items()]
    return sorted(shown, key=lambda each: (-each.ends.failed, -each.ends.succeeded, each.name))
