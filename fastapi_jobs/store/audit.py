"""Who changed what: each entry is written in the transaction of its change."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, delete, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.store.queries import make_cursor, read_cursor
from fastapi_jobs.store.tables import audit, loaded, values
from fastapi_jobs.store.transaction import Operation, Patience, Transaction

R = TypeVar("R")


@dataclass(slots=True)
class Audited(Operation[R]):
    """A change and its entry, written together; a change that is refused leaves no entry."""

    change: Operation[R]
    entry: AuditRecord
    alone: bool = field(init=False)
    patience: float | Patience | None = field(init=False)
    refuse_when_full: bool = field(init=False)

    # As the changes themselves: after new jobs and ends, before claims, which see what was changed.
    order = 5

    def __post_init__(self) -> None:
        self.alone = self.change.alone
        self.patience = self.change.patience
        self.refuse_when_full = self.change.refuse_when_full

    def apply_one(self, tx: Transaction) -> R | Exception:
        [outcome] = type(self.change).apply(tx, [self.change])
        if not isinstance(outcome, Exception):
            _write(tx, self.entry)
        return outcome


@dataclass(slots=True)
class Audit(Operation[None]):
    """An entry about something that is no change of the store, such as a login."""

    entry: AuditRecord
    patience: float | Patience | None = Patience.STORE_TIMEOUT

    def apply_one(self, tx: Transaction) -> None:
        _write(tx, self.entry)


def _write(tx: Transaction, entry: AuditRecord) -> None:
    insert = sqlite.insert if tx.sqlite else postgresql.insert
    # A repetition finds the entry of the try before it.
    tx.execute(insert(audit).values(entry.model_dump()).on_conflict_do_nothing())


@dataclass(slots=True)
class PruneAudit(Operation[int]):
    """Delete up to `limit` of the oldest entries that were written before `before`."""

    before: datetime
    limit: int = 500

    def apply_one(self, tx: Transaction) -> int:
        # Ids begin with the time: a walk along the primary key, which ends at the first that stays.
        old = select(audit.c.id).where(audit.c.id < first_uuid7(self.before)).order_by(audit.c.id)
        some = old.limit(literal_column(str(self.limit)))
        return tx.execute(delete(audit).where(audit.c.id.in_(some))).rowcount


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page of entries, newest first. `next_cursor` is None on the last one."""

    items: Sequence[AuditRecord]
    next_cursor: str | None


def list_audit(
    connection: Connection,
    *,
    limit: int = 50,
    cursor: str | None = None,
    who: str | None = None,
    target: str | None = None,
) -> AuditPage:
    """One page of entries: all, those of one person, those about one target.

    Raises:
        InvalidCursor: `cursor` is not one of ours.
    """
    statement = select(audit)
    if target is not None:
        statement = statement.where(audit.c.target == target)
    if who is not None:
        # Of two conditions the target has the fewer entries: the other is kept from its index.
        column = audit.c.who if target is None else audit.c.who.concat(literal_column("''"))
        statement = statement.where(column == who)
    if cursor is not None:
        statement = statement.where(audit.c.id < read_cursor(cursor))
    rows = connection.execute(statement.order_by(audit.c.id.desc()).limit(limit + 1)).all()
    items = [loaded(AuditRecord, values(row)) for row in rows[:limit]]
    return AuditPage(items, make_cursor(items[-1].id) if len(rows) > limit else None)
