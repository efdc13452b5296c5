"""`GET {prefix}/health`: bare for whoever keeps the process alive, details for people."""

import asyncio

from fastapi import Request
from pydantic_core import from_json

from fastapi_jobs.api.access import Access, AccessOf, Action
from fastapi_jobs.api.problems import Code, ProblemError
from fastapi_jobs.api.schemas import Health, worker_out
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.store import ping

PATIENCE_SECONDS = 2.0
"""A database that takes longer to answer counts as away."""


async def get_health(request: Request, access: AccessOf) -> Health:
    """Whether jobs can be taken: 200, or 503 with the reason."""
    may_see_details = await _may_see_details(access, request)
    store = access.runtime.store
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            health = await _details(access.runtime) if may_see_details else await _bare(store)
            trouble = access.runtime.broker_trouble or access.runtime.redis_trouble
            health.status = "ok" if trouble is None else "degraded"
    except (StoreUnavailable, TimeoutError) as error:
        raise _away(may_see_details, store.trouble or _reason(error)) from error
    if store.trouble:
        raise _away(may_see_details, store.trouble)
    return health


async def _may_see_details(access: Access, request: Request) -> bool:
    is_staff = await access.grants(request, Action.HEALTH)
    return is_staff and await access.sees_everything(request)


def _reason(error: StoreUnavailable | TimeoutError) -> str:
    if isinstance(error, StoreUnavailable):
        return str(error)
    return f"The database has not answered within {PATIENCE_SECONDS:g} s."


def _away(may_see_details: bool, reason: str) -> ProblemError:
    said = reason if may_see_details else "The database of the jobs does not answer now."
    return ProblemError(
        503, Code.STORE_UNAVAILABLE, "The job store is unavailable", said, retry_after=1.0
    )


async def _bare(store: Store) -> Health:
    await store.read(ping)
    return Health()


async def _details(runtime: Runtime) -> Health:
    workers = await runtime.store.read(queries.get_workers)
    queued = await runtime.store.read(queries.queued_tasks)
    known = {name for worker in workers for name in from_json(worker.tasks)}
    return Health(
        dispatcher="off" if runtime.dispatcher is None else "running",
        workers=[worker_out(each) for each in workers],
        unknown_tasks=[name for name in queued if name not in known],
        broker=runtime.broker_trouble,
        redis=runtime.redis_trouble,
    )
