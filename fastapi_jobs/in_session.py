"""Enqueuing in the host's own transaction: the job exists if and only if that commits."""

from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapi_jobs.errors import InvalidOption, OpenTransaction
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store.host_session import insert_into, run_here
from fastapi_jobs.store.rows import Inserted, NewJob

_open_sessions: ContextVar[tuple[Session, ...]] = ContextVar("fastapi_jobs_sessions", default=())


async def insert_in_session(
    runtime: Runtime, session: AsyncSession | Session, jobs: Sequence[NewJob]
) -> list[Inserted]:
    """Insert through `session`; wake-ups come after its commit.

    Raises:
        ForeignSession: the session is on another database.
        QueueFull, DuplicateJob
    """
    if isinstance(session, AsyncSession):
        inserted = await session.run_sync(lambda sync: _insert(runtime, sync, jobs))
        _remember(runtime, session.sync_session)
        return inserted
    return insert_in_session_sync(runtime, session, jobs)


def insert_in_session_sync(
    runtime: Runtime, session: AsyncSession | Session, jobs: Sequence[NewJob]
) -> list[Inserted]:
    """The same with a `Session`."""
    if isinstance(session, AsyncSession):
        rule = "enqueue_sync takes a Session. With an AsyncSession: await enqueue(...)."
        raise InvalidOption("session", session, rule)
    inserted = _insert(runtime, session, jobs)
    _remember(runtime, session)
    return inserted


def _insert(runtime: Runtime, session: Session, jobs: Sequence[NewJob]) -> list[Inserted]:
    if not runtime.store.is_open:
        runtime.open()

    def committed(inserted: Sequence[Inserted]) -> None:
        new = {done.id for done in inserted if done.is_new}
        stored = [job for job in jobs if job.id in new]
        runtime.hint_queued(stored)
        for job in stored:
            if runtime.is_immediate(job):
                run_here(partial(runtime.run_now, job))

    return insert_into(session, runtime.store.database, jobs, committed)


# On SQLite a host's open transaction holds the one write lock: our own writer would wait for it
# while the host waits for us.


def _remember(runtime: Runtime, session: Session) -> None:
    if runtime.store.database.is_sqlite:
        still = tuple(each for each in _open_sessions.get() if each.in_transaction())
        _open_sessions.set((*still, session) if session not in still else still)


def refuse_deadlock(runtime: Runtime) -> None:
    """Refuse a write beside this context's own open transaction on SQLite.

    Raises:
        OpenTransaction
    """
    sessions = _open_sessions.get()
    if not sessions or not runtime.store.database.is_sqlite:
        return
    still = tuple(each for each in sessions if each.in_transaction())
    _open_sessions.set(still)
    if still:
        raise OpenTransaction
