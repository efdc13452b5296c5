"""The queues: what waits and runs in them, their switch and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqladmin import Flash
from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.throughput import sparkline
from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.api.overview import known_names, refuse_unknown
from fastapi_jobs.claiming import declared_limits
from fastapi_jobs.clock import utc_now
from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.models import QueueRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.lanes import QueueLimits, in_force
from fastapi_jobs.store.queries import COUNT_CAP
from fastapi_jobs.store.queues import LimitQueue, PauseQueue, ResumeQueue
from fastapi_jobs.store.stats import QueueCounts

LONGEST_REASON = 1000
PRIORITIES = range(-100, 101)
MOST_RUNNING = 1_000_000


@dataclass(frozen=True, slots=True)
class ShownQueue:
    """One queue; `row` is what people changed, `declared` what the settings say."""

    name: str
    found: QueueCounts
    row: QueueRecord
    declared: QueueLimits
    backend: str | None
    """None: each task decides, or the settings for all."""
    line: list[int]
    """How many jobs ended in each of the last minutes."""

    @property
    def limits(self) -> QueueLimits:
        """What is in force."""
        return in_force(self.declared, self.row)

    @property
    def is_limited_by_hand(self) -> bool:
        """Whether a person's limit or priority wins over the settings."""
        return self.row.max_running is not None or self.row.priority is not None


class QueuesPage(Page):
    """`/queues`."""

    name = "Queues"
    path = "/queues"
    icon = "ti ti-stack-2"

    @page("/queues", Action.QUEUES)
    async def queues(self, request: Request) -> Response:
        """Every queue that has jobs, or that settings, tasks or people name."""
        site = self.site
        return await self.render(
            request,
            "queues.html",
            queues=await self._shown(),
            cap=COUNT_CAP,
            now=utc_now(),
            default_backend=site.runtime.settings.backend,
            may_pause=await site.may(request, Action.PAUSE),
            may_resume=await site.may(request, Action.RESUME),
            may_limit=await site.may(request, Action.LIMITS),
        )

    async def _shown(self) -> list[ShownQueue]:
        settings, store = self.site.runtime.settings, self.site.runtime.store
        rows = {each.name: each for each in await store.read(queries.get_queues)}
        now, recent = await self.site.looks.now.get(), await self.site.looks.recent.get()
        names = {*rows, *known_names(settings), *now.queues}
        return [
            ShownQueue(
                name,
                now.queues.get(name) or QueueCounts(),
                rows.get(name) or QueueRecord(name=name),
                declared_limits(settings, name),
                settings.queue(name).backend,
                sparkline(recent.queues.get(name, {}), now.at),
            )
            for name in sorted(names)
        ]

    @change("/queues/pause", Action.PAUSE)
    async def pause_queue(self, request: Request) -> Response:
        """Start no more jobs of a queue; those that run are left alone."""
        name = await self._named(request)
        reason = str((await request.form()).get("reason", "")).strip()
        if len(reason) > LONGEST_REASON:
            rule = f"a reason has at most {LONGEST_REASON:,} characters."
            raise InvalidOption("reason", f"{reason[:40]}…", rule)
        pause = PauseQueue(name, utc_now(), self.site.who(request), reason or None)
        await self.site.write(request, pause, Action.PAUSE, name, **_given(reason=reason))
        Flash.success(request, f"Queue {name} is paused. What runs goes on; nothing new starts.")
        return await self.back(request, "/queues")

    @change("/queues/resume", Action.RESUME)
    async def resume_queue(self, request: Request) -> Response:
        """Start jobs of a queue again."""
        name = await self._named(request)
        await self.site.write(request, ResumeQueue(name), Action.RESUME, name)
        Flash.success(request, f"Queue {name} takes jobs again.")
        return await self.back(request, "/queues")

    @change("/queues/limits", Action.LIMITS)
    async def limit_queue(self, request: Request) -> Response:
        """Change how many jobs of a queue run at a time and how it ranks, at once and for all."""
        name, form = await self._named(request), await request.form()
        changes = {
            "max_running": _whole(form.get("max_running"), "max_running", range(MOST_RUNNING + 1)),
            "priority": _whole(form.get("priority"), "priority", PRIORITIES),
        }
        await self.site.write(request, LimitQueue(name, changes), Action.LIMITS, name, **changes)
        Flash.success(request, f"The limits of queue {name} are changed, in all processes.")
        return await self.back(request, "/queues")

    @change("/queues/reset", Action.LIMITS)
    async def reset_queue(self, request: Request) -> Response:
        """Let the settings say again how many run and how the queue ranks."""
        name = await self._named(request)
        reset = LimitQueue(name, {"max_running": None, "priority": None})
        await self.site.write(request, reset, Action.LIMITS, name, reset=True)
        Flash.success(request, f"Queue {name} has the limits of the settings again.")
        return await self.back(request, "/queues")

    async def _named(self, request: Request) -> str:
        name = str((await request.form()).get("queue", ""))
        await refuse_unknown(self.site.runtime, name)
        return name


def _given(**details: str) -> Mapping[str, str]:
    return {name: value for name, value in details.items() if value}


def _whole(text: object, field: str, allowed: range) -> int | None:
    """A number that a person typed; nothing is None.

    Raises:
        InvalidOption: it is none, or outside.
    """
    typed = str(text or "").strip()
    if not typed:
        return None
    rule = f"give a whole number from {allowed[0]:,} to {allowed[-1]:,}, or nothing."
    try:
        number = int(typed)
    except ValueError:
        raise InvalidOption(field, typed[:40], rule) from None
    if number not in allowed:
        raise InvalidOption(field, number, rule)
    return number
