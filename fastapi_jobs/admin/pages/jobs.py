"""The list of jobs, and what is done with many of them."""

from dataclasses import asdict, replace
from typing import Any

from sqladmin import Flash
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from fastapi_jobs.admin import bulk, exporting, listed
from fastapi_jobs.admin.asking import read_asked
from fastapi_jobs.admin.bulk import Nonsense, Wish
from fastapi_jobs.admin.exporting import Write
from fastapi_jobs.admin.visit import Page, change, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.api.many import BulkAction, ManyChanges, May, Outcome
from fastapi_jobs.clock import utc_now
from fastapi_jobs.handle import job_of
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobAction
from fastapi_jobs.store import queries
from fastapi_jobs.store.many import Changed
from fastapi_jobs.store.queries import COUNT_CAP, TEXT_WINDOW
from fastapi_jobs.store.transaction import Operation

CHANGE = "/jobs/change"


class JobsPage(Page):
    """`/jobs`."""

    name = "Jobs"
    path = "/jobs"
    icon = "ti ti-list"

    @page("/jobs", Action.LIST)
    async def jobs(self, request: Request) -> Response:
        """One page of jobs, newest first."""
        asked = read_asked(request.query_params)
        store = self.site.runtime.store
        if asked.whole_id is not None:
            found = await store.read(queries.get_status, [asked.whole_id])
            if found:
                return RedirectResponse(self.site.url(request, f"/jobs/{asked.whole_id}"), 303)
        every_status = replace(asked.which, statuses=())
        return await self.render(
            request,
            "jobs.html",
            asked=asked,
            page=await listed.list_page(store, asked),
            counts=await store.read(queries.count_jobs, every_status),
            cap=COUNT_CAP,
            actions=await self._actions(request),
            for_all=[each for each in BulkAction if asked.which.legal_for(JobAction(each))],
            tasks=sorted(registry),
            queues=await self._queues(),
            workers=await store.read(queries.get_workers),
            window=TEXT_WINDOW,
            show=listed,
        )

    @page("/jobs/export.csv", Action.LIST)
    async def export_csv(self, request: Request) -> Response:
        """The jobs that match, for a spreadsheet."""
        head = exporting.csv_head()
        return self._export(request, "csv", "text/csv", exporting.as_csv, head)

    @page("/jobs/export.jsonl", Action.LIST)
    async def export_json(self, request: Request) -> Response:
        """The jobs that match, one JSON object a line."""
        return self._export(request, "jsonl", "application/x-ndjson", exporting.as_json_lines)

    @page(CHANGE, Action.BULK)
    async def confirm_change(self, request: Request) -> Response:
        """How many jobs a change concerns, and the question whether to make it."""
        try:
            wish = bulk.read_wish(request.query_params).bounded()
        except Nonsense as why:
            return self._not_done(request, str(why))
        await self._demand(request, wish)
        return await self.render(
            request,
            "jobs_change.html",
            wish=wish,
            counted=await bulk.count_wish(self.site.runtime.store, wish),
            done_word=bulk.DONE[wish.action],
        )

    @change(CHANGE, Action.BULK)
    async def change_jobs(self, request: Request) -> Response:
        """Change some jobs: all at once, or as many as one request may take."""
        form = await request.form()
        is_script = "application/json" in request.headers.get("accept", "")
        try:
            wish = bulk.read_wish(form).bounded()
        except Nonsense as why:
            if is_script:
                return JSONResponse({"detail": str(why)}, 400)
            return self._not_done(request, str(why))
        await self._demand(request, wish)
        out = await self._changed(request, wish)
        if is_script:
            return JSONResponse(asdict(out))
        Flash.success(request, bulk.told(wish.action, out))
        return RedirectResponse(self._after(request, wish, out), 303)

    def _export(
        self, request: Request, ending: str, media_type: str, write: Write, head: bytes = b""
    ) -> Response:
        asked = read_asked(request.query_params)
        if asked.notices:
            # The list says what was left out; a file could not.
            address = self.site.url(request, self.path, _plain(request))
            return RedirectResponse(address, 303)
        name = f"jobs-{utc_now():%Y%m%d-%H%M%S}.{ending}"
        return StreamingResponse(
            exporting.written(self.site.runtime.store, asked.which, write, head),
            media_type=media_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def _changed(self, request: Request, wish: Wish) -> Outcome:
        about: dict[str, Any] = {"filter": {**wish.asked.query}}

        async def write(operation: Operation[Changed], number: int) -> Changed:
            return await self.site.write(
                request, operation, Action(wish.action.value), "many jobs", count=number, **about
            )

        many = ManyChanges(
            self.site.runtime.store, wish.action, self._may(request, wish.action), write
        )
        if wish.ids:
            about = {"ids": [str(each) for each in wish.ids]}
            return await many.these(wish.ids)
        if wish.legal is None:
            return Outcome()
        return await many.matching(wish.legal, limit=wish.limit, cursor=wish.asked.after)

    def _after(self, request: Request, wish: Wish, out: Outcome) -> str:
        """The list; or, as long as there is more to do, the question again."""
        if out.next_cursor is None:
            return self.site.url(request, self.path, wish.asked.query)
        return self.site.url(request, CHANGE, {**wish.query, "after": out.next_cursor})

    def _not_done(self, request: Request, why: str) -> Response:
        Flash.warning(request, why)
        return RedirectResponse(self.site.url(request, self.path), 303)

    async def _demand(self, request: Request, wish: Wish) -> None:
        user = self.site.user_of(request)
        if user is not None and not user.may(Action(wish.action.value)):
            await self.site.demand(request, Action(wish.action.value))

    def _may(self, request: Request, action: BulkAction) -> May | None:
        """The host's permission hook is asked about each job."""
        if self.site.permission is None:
            return None

        async def may(record: JobRecord) -> bool:
            job = job_of(record, self.site.runtime)
            return await self.site.may(request, Action(action.value), job)

        return may

    async def _actions(self, request: Request) -> list[BulkAction]:
        """What this person may do with many jobs."""
        if not await self.site.may(request, Action.BULK):
            return []
        user = self.site.user_of(request)
        return [each for each in BulkAction if user is None or user.may(Action(each.value))]

    async def _queues(self) -> list[str]:
        rows = await self.site.runtime.store.read(queries.get_queues)
        return sorted({*self.site.runtime.settings.queues, *(each.name for each in rows)})


def _plain(request: Request) -> dict[str, list[str]]:
    given = request.query_params
    return {name: given.getlist(name) for name in given}
