"""The page of what people changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from fastapi_jobs.admin.visit import Page, page
from fastapi_jobs.api.access import Action
from fastapi_jobs.errors import InvalidCursor
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.store.audit import list_audit

LIMIT = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """One change."""

    row: AuditRecord

    @property
    def details(self) -> Mapping[str, Any]:
        """The rest, by name."""
        details: Mapping[str, Any] = from_json(self.row.details) if self.row.details else {}
        return details

    @property
    def is_about_job(self) -> bool:
        """Whether its target is a job's id."""
        try:
            UUID(self.row.target or "")
        except ValueError:
            return False
        return self.row.action != Action.QUIET


class AuditPage(Page):
    """`/audit`."""

    name = "Audit"
    path = "/audit"
    icon = "ti ti-history"

    def is_visible(self, request: Request) -> bool:
        """In the menu of those who may see it."""
        user = self.site.user_of(request)
        return user is None or user.may(Action.AUDIT)

    @page("/audit", Action.AUDIT)
    async def audit(self, request: Request) -> Response:
        """One page of changes, newest first."""
        given, store = request.query_params, self.site.runtime.store
        who, target = given.get("who", "").strip(), given.get("target", "").strip()
        cursor, notice = given.get("cursor") or None, ""
        chosen: dict[str, Any] = {"limit": LIMIT, "who": who or None, "target": target or None}
        try:
            found = await store.read(list_audit, cursor=cursor, **chosen)
        except InvalidCursor:
            notice = "The address named no page that we know. This is the first one."
            found = await store.read(list_audit, **chosen)
        return await self.render(
            request,
            "audit.html",
            entries=[Entry(each) for each in found.items],
            next_cursor=found.next_cursor,
            is_first=cursor is None or bool(notice),
            who=who,
            target=target,
            notice=notice,
        )
