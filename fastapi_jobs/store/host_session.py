"""Inserts through a host's own session: the jobs exist if and only if its transaction commits."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from fastapi_jobs.errors import ForeignSession
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.rows import Inserted, NewJob
from fastapi_jobs.store.transaction import Transaction
from fastapi_jobs.store.unique import insert_through


def insert_into(
    session: Session,
    database: Database,
    jobs: Sequence[NewJob],
    on_commit: Callable[[Sequence[Inserted]], None],
) -> list[Inserted]:
    """Insert by Core statements on the session's connection; `on_commit` comes after its commit.

    Raises:
        ForeignSession: the session is on another database.
        QueueFull, DuplicateJob: nothing was inserted, and the transaction stays usable.
    """
    session.flush()
    connection = session.connection()
    _refuse_foreign(database, connection)
    if database.is_sqlite:
        _really_begin(connection)
    with connection.begin_nested():  # all or none, and the host's transaction goes on
        inserted = insert_through(Transaction(connection, database), jobs)

    _at_commit(session, lambda: on_commit(inserted))
    return inserted


def _really_begin(connection: Connection) -> None:
    # Python's sqlite3 begins a transaction at the first change only. A savepoint before that would
    # be the transaction, and releasing it a commit.
    if not getattr(connection.connection.driver_connection, "in_transaction", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


_WAITING = "fastapi_jobs at commit"


def _at_commit(session: Session, call: Callable[[], None]) -> None:
    """Call once when the session's outermost transaction commits, never if it rolls back."""
    if _WAITING not in session.info:
        session.info[_WAITING] = []
        event.listen(session, "after_commit", _committed)
        event.listen(session, "after_soft_rollback", _rolled_back)
    session.info[_WAITING].append(call)


def _committed(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a released savepoint is no commit
    calls = list(session.info[_WAITING])
    session.info[_WAITING].clear()
    for call in calls:
        call()


def _rolled_back(session: Session, ended: SessionTransaction) -> None:
    if ended.parent is None:  # what a savepoint takes back is looked up at the commit
        session.info[_WAITING].clear()


def run_here(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end within a callback of a session, be that sync or async."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(make())
        return
    if in_greenlet():  # an AsyncSession: the coroutine runs on its loop, which is ours
        await_only(make())
        return
    # A Session that blocks the running loop anyway: only another loop can make way.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, asyncio.run, make()).result()


def _refuse_foreign(database: Database, connection: Connection) -> None:
    ours, theirs = database.url, connection.engine.url
    same_kind = ours.get_backend_name() == theirs.get_backend_name()
    if same_kind and database.is_sqlite:
        with database.reading.connect() as reader:
            same = _sqlite_file(connection) == _sqlite_file(reader)
    else:
        same = same_kind and (ours.host, ours.port or 5432, ours.database) == (
            theirs.host,
            theirs.port or 5432,
            theirs.database,
        )
    if not same:
        raise ForeignSession(theirs.render_as_string(hide_password=True), database.name)


def _sqlite_file(connection: Connection) -> str:
    rows = connection.exec_driver_sql("PRAGMA database_list").all()
    return next((row[2] for row in rows if row[1] == "main"), "")
