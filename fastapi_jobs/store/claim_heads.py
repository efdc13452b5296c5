"""The first jobs of a lane that no broker was told of: what a slot goes on with.

On PostgreSQL, whose every statement is a journey, one statement finds them and takes them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, func, literal_column, select, update

from fastapi_jobs.options import PRIORITIES
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.claim import CLAIMED_COLUMNS, attempts_of, taken_values
from fastapi_jobs.store.insert import HELD_WORKER
from fastapi_jobs.store.lanes import RESTRICTED, Lane, heads_of_lane
from fastapi_jobs.store.prepared import OnPostgreSQL
from fastapi_jobs.store.rows import Claimed
from fastapi_jobs.store.tables import UNPUBLISHED, attempts, jobs, status_text, unexpired
from fastapi_jobs.store.transaction import Transaction

_now = bindparam("now", type_=jobs.c.started_at.type)
_told = jobs.alias("told")
_LARGEST_TOLD = (
    select(func.max(_told.c.priority))
    .where(
        _told.c.queue == bindparam("queue"),
        _told.c.published_at.is_not(None),
        _told.c.status == status_text(JobStatus.QUEUED),
    )
    .scalar_subquery()
)
UNTOLD = (
    UNPUBLISHED,
    unexpired(_now),
    jobs.c.priority >= func.coalesce(_LARGEST_TOLD, literal_column(str(PRIORITIES.start))),
)
"""No broker was told of the job, nor of one of its queue with a larger priority."""


def take_heads(
    tx: Transaction, lane: Lane, count: int, worker: UUID, backend: str, now: datetime
) -> list[Claimed]:
    """Claim up to `count` jobs of a lane, on PostgreSQL, in a queue that nobody restricts."""
    given = {"count": count, "worker": tx.encode_id(worker), "runs_on": backend, "now": now}
    found = tx.run(_take_heads(), given | lane._asdict()).fetchall()
    return [_claimed(row) for row in found]


_FIELDS = tuple(CLAIMED_COLUMNS.selected_columns.keys())


def _claimed(row: Sequence[Any]) -> Claimed:
    started_at, backend, chosen, *kept = row
    claimed = Claimed(
        **dict(zip(_FIELDS, kept, strict=True)),
        backend=backend,
        started_at=started_at.astimezone(UTC),
        chosen=chosen,
    )
    claimed.created_at = claimed.created_at.astimezone(UTC)
    claimed.suspect = bool(claimed.suspect)
    return claimed


@cache
def _take_heads() -> OnPostgreSQL:
    # What is read first is locked first: the worker's row (law 5), the jobs, their attempts.
    fixed = "MATERIALIZED"
    worker = HELD_WORKER.cte("worker").prefix_with(fixed)
    open_to_us = exists().select_from(worker), ~exists().where(RESTRICTED)
    heads = heads_of_lane(select(jobs.c.id), *UNTOLD, *open_to_us).cte("heads").prefix_with(fixed)
    runs_on = bindparam("runs_on", type_=attempts.c.backend.type)
    started = func.greatest(_now, jobs.c.created_at)
    taken = (
        update(jobs)
        .where(jobs.c.id == heads.c.id)
        .ordered_values(*taken_values(bindparam("worker", type_=jobs.c.id.type), started))
        .returning(
            *(jobs.c.started_at, runs_on.label("runs_on"), jobs.c.backend, jobs.c.worker_id),
            *(jobs.c[name] for name in _FIELDS),
        )
        .cte("taken")
    )
    row = taken.c
    shown = select(row.started_at, row.runs_on, row.backend, *(row[name] for name in _FIELDS))
    ordered = shown.order_by(row.priority.desc(), row.id)
    return OnPostgreSQL(ordered.add_cte(attempts_of(taken).cte("begun")))
