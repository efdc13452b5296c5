"""One change of many jobs, some at a time: for the HTTP interface and for the admin site."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from fastapi_jobs.clock import utc_now
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.many import CancelJobs, Changed, DeleteMany, RetryJobs
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Operation

MOST = 1000
CHUNK = 100
"""Jobs of one transaction: others write in between."""
MOST_PAGES = 50
"""Pages of one call, where many of them hold nothing that fits."""


class BulkAction(StrEnum):
    """What can be asked of many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    DELETE = "delete"


May = Callable[[JobRecord], Awaitable[bool]]
"""Whether one of the jobs may be changed."""

Write = Callable[[Operation[Changed], int], Awaitable[Changed]]
"""Commits the change of so many jobs."""


@dataclass(slots=True)
class Outcome(Changed):
    """What became of the jobs that one call looked at."""

    remaining: int = 0
    """Jobs that are left to look at; counted up to COUNT_CAP."""
    next_cursor: str | None = None
    """Where the next call goes on; None at the end."""


@dataclass(frozen=True, slots=True)
class ManyChanges:
    """Makes one change of many jobs, in chunks with a transaction each."""

    store: Store
    action: BulkAction
    may: May | None = None
    """None: all of them."""
    write: Write | None = None
    """None: the store's own."""

    async def matching(self, which: JobFilter, *, limit: int, cursor: str | None) -> Outcome:
        """Change up to `limit` of the jobs that a filter names, oldest first.

        Raises:
            InvalidCursor, StoreUnavailable: what the chunks before changed stays changed.
        """
        out = Outcome(next_cursor=cursor)
        for _ in range(MOST_PAGES):
            page = await self.store.read(
                queries.list_jobs,
                which,
                limit=min(limit, CHUNK),
                cursor=out.next_cursor,
                newest=False,
            )
            await self._change(page.items, out)
            limit -= len(page.items)
            out.next_cursor = page.next_cursor
            if page.next_cursor is None or not limit:
                break
        if out.next_cursor is not None:
            out.remaining = await self.store.read(queries.count_after, which, out.next_cursor)
        return out

    async def these(self, ids: Sequence[UUID]) -> Outcome:
        """Change the jobs of these ids; those that are gone are refused.

        Raises:
            StoreUnavailable: what the chunks before changed stays changed.
        """
        out = Outcome()
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            found = await self.store.read(queries.get_jobs, chunk)
            out.refused += len(chunk) - len(found)
            await self._change(found, out)
        return out

    async def _change(self, items: Sequence[JobRecord], out: Outcome) -> None:
        """Change those that may be changed, in one transaction."""
        ids = [each.id for each in items if self.may is None or await self.may(each)]
        changed = await self._written(ids) if ids else Changed()
        out.done += changed.done
        out.asked += changed.asked
        out.refused += changed.refused + len(items) - len(ids)

    async def _written(self, ids: Sequence[UUID]) -> Changed:
        if self.write is not None:
            return await self.write(self._operation(ids), len(ids))
        return await self.store.write(self._operation(ids))

    def _operation(self, ids: Sequence[UUID]) -> Operation[Changed]:
        match self.action:
            case BulkAction.CANCEL:
                return CancelJobs(ids, utc_now())
            case BulkAction.RETRY:
                return RetryJobs(ids, utc_now())
            case BulkAction.DELETE:
                return DeleteMany(ids)
