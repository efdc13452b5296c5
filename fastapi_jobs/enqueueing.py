"""From a call to a stored job: bind, validate, serialize, insert."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fastapi_jobs.attempts import enqueued
from fastapi_jobs.backends.event_loop import ImmediateBackend
from fastapi_jobs.checks import queue_of
from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.current import current_runtime
from fastapi_jobs.errors import PayloadTooLarge
from fastapi_jobs.handle import Job, get_job, get_job_sync, job_of_inserted, refuse_on_loop
from fastapi_jobs.in_session import insert_in_session, insert_in_session_sync, refuse_deadlock
from fastapi_jobs.options import Unique, checked_moment
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.rows import IdempotencyWish, Inserted, NewJob, UniqueWish
from fastapi_jobs.using import Using


def new_job(
    runtime: Runtime,
    definition: TaskDefinition,
    using: Using,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> NewJob:
    """A job that is ready to be stored.

    Raises:
        InvalidArguments, InvalidOption, PayloadTooLarge
    """
    return job_from_text(runtime, definition, using, definition.arguments.dump(args, kwargs))


def job_from_text(runtime: Runtime, definition: TaskDefinition, using: Using, text: str) -> NewJob:
    """The same from arguments that are validated JSON already."""
    settings, options = runtime.settings, definition.options
    # A character of UTF-8 takes at most 4 bytes: only long texts are worth counting.
    if len(text) * 4 > settings.max_payload and (size := len(text.encode())) > settings.max_payload:
        raise PayloadTooLarge(definition.name, "arguments", size, settings.max_payload)
    now = utc_now()
    job = NewJob(
        id=uuid7(),
        task=definition.name,
        queue=using.queue or queue_of(settings, definition),
        args=text,
        created_at=now,
        backend=using.backend or "",
        priority=options.priority if using.priority is None else using.priority,
        owner=using.owner,
        tags=options.tags if not using.tags else tuple(dict.fromkeys(options.tags + using.tags)),
        meta=using.meta,
        max_queued=settings.max_queued,
    )
    if using.run_after is not None:
        moment = checked_moment("run_after", using.run_after, now)
        job.run_after = moment if moment > now else None
    if using.expires is not None:
        job.expires_at = checked_moment("expires", using.expires, now)
    elif options.expires is not None:
        job.expires_at = (job.run_after or now) + timedelta(seconds=options.expires)
    if options.unique is not None or using.unique_key is not None:
        job.unique = _unique(definition, using, text, now)
    return job


def _unique(definition: TaskDefinition, using: Using, text: str, now: datetime) -> UniqueWish:
    unique = definition.options.unique or Unique()
    if using.unique_key is not None:
        key = using.unique_key
    elif unique.key is not None:
        args, kwargs = definition.arguments.load(text)
        key = str(unique.key(*args, **kwargs))
    else:
        key = definition.arguments.canonical(text)
    digest = key_digest(definition.name, key)
    if isinstance(unique.during, timedelta):
        return UniqueWish(digest, "window", now + unique.during, unique.on_conflict)
    return UniqueWish(digest, unique.during, None, unique.on_conflict)


def key_digest(task: str, key: str) -> str:
    """A unique key as it is stored."""
    return hashlib.sha256(f"{task}\x00{key}".encode()).hexdigest()


def backend_of(runtime: Runtime, definition: TaskDefinition, job: NewJob) -> str:
    """The backend that would run this job now."""
    return runtime.backend_of(definition, job.queue, job.backend)


async def enqueue(
    definition: TaskDefinition,
    using: Using,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> Job[Any]:
    """Store one job; see `Task.enqueue`."""
    runtime = using.runtime or current_runtime()
    job = new_job(runtime, definition, using, args, kwargs)
    if using.session is not None:
        [inserted] = await insert_in_session(runtime, using.session, [job])
        return job_of_inserted(job, inserted, runtime, uncommitted=True)
    refuse_deadlock(runtime)
    return await store_one(runtime, definition, job)


async def store_one(
    runtime: Runtime,
    definition: TaskDefinition,
    job: NewJob,
    idempotency: IdempotencyWish | None = None,
) -> Job[Any]:
    """Commit one job; with the immediate backend, run it too."""
    backend = backend_of(runtime, definition, job)
    inserted = await runtime.insert(job, definition, backend, idempotency)
    announce(runtime, [job], [inserted])
    immediate = backend == ImmediateBackend.name
    if immediate and inserted.is_new and inserted.status is JobStatus.QUEUED:
        await runtime.run_now(job)
        return _as_new(await get_job(runtime, job.id))
    return job_of_inserted(job, inserted, runtime)


def enqueue_sync(
    definition: TaskDefinition,
    using: Using,
    args: Sequence[object],
    kwargs: Mapping[str, object],
) -> Job[Any]:
    """Store one job, blocking; see `Task.enqueue_sync`."""
    refuse_on_loop("enqueue")
    runtime = using.runtime or current_runtime()
    job = new_job(runtime, definition, using, args, kwargs)
    if using.session is not None:
        [inserted] = insert_in_session_sync(runtime, using.session, [job])
        return job_of_inserted(job, inserted, runtime, uncommitted=True)
    refuse_deadlock(runtime)
    [inserted] = runtime.insert_sync([job])
    announce(runtime, [job], [inserted])
    immediate = backend_of(runtime, definition, job) == ImmediateBackend.name
    if immediate and inserted.is_new and inserted.status is JobStatus.QUEUED:
        asyncio.run(runtime.run_now(job))
        return _as_new(get_job_sync(runtime, job.id))
    return job_of_inserted(job, inserted, runtime)


async def run_immediate(
    runtime: Runtime, jobs: Sequence[NewJob], inserted: Sequence[Inserted]
) -> None:
    """Run those of the jobs just stored whose backend is the immediate one."""
    for job, done in zip(jobs, inserted, strict=True):
        if done.is_new and runtime.is_immediate(job):
            await runtime.run_now(job)


def announce(runtime: Runtime, jobs: Sequence[NewJob], inserted: Sequence[Inserted]) -> None:
    """Tell the observers of new jobs."""
    if not runtime.observers.listening:
        return
    for job, done in zip(jobs, inserted, strict=True):
        # A job that started at once was told of before its start.
        if done.is_new and done.status is not JobStatus.RUNNING:
            runtime.observers.tell(enqueued(job))


def _as_new(job: Job[Any]) -> Job[Any]:
    return replace(job, is_new=True)
