"""Every job of a filter, whole, a few at a time: memory holds one chunk of them."""

from collections.abc import AsyncIterator, Sequence

from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.store.queries import list_jobs
from fastapi_jobs.store.store import Store


async def export(
    store: Store, which: JobFilter, *, chunk: int = 500, newest: bool = False
) -> AsyncIterator[Sequence[JobRecord]]:
    """Each job once, in the order of creation; those that are made meanwhile may come last.

    Raises:
        StoreUnavailable: the database does not answer; what came before is whole.
    """
    cursor = None
    while True:
        page = await store.read(
            list_jobs, which, limit=chunk, cursor=cursor, newest=newest, whole=True
        )
        if page.items:
            yield page.items
        cursor = page.next_cursor
        if cursor is None:
            return
