"""What an operation writes through: one transaction of the writer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import CursorResult

from fastapi_jobs.store.database import Database, Trouble
from fastapi_jobs.store.prepared import CHUNK, OnPostgreSQL, Prepared, PreparedQuery, array_literal

R = TypeVar("R")


@dataclass(slots=True)
class Hints:
    """What others may want to hear of once the transaction is committed."""

    queued: bool = False
    cancels: bool = False
    finished: list[UUID] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.queued or self.cancels or bool(self.finished)


class Transaction:
    """One open transaction of a writer."""

    def __init__(self, connection: Connection, database: Database) -> None:
        self.connection = connection
        self.database = database
        self.sqlite = database.is_sqlite
        self.encode_id = database.encode_id
        self.encode_time = database.encode_time
        self.hints = Hints()
        self._cursor: Any = connection.connection.cursor()

    def many(self, prepared: Prepared, rows: Sequence[Sequence[Any]]) -> int:
        """Run a prepared change for each row; returns how many rows it touched in all."""
        if not rows:
            return 0
        if self.sqlite:
            return self._many_of_sqlite(prepared, rows)
        columns = [array_literal(column) for column in zip(*rows, strict=True)]
        self._run(prepared.postgresql, columns)
        return int(self._cursor.rowcount)

    def _many_of_sqlite(self, prepared: Prepared, rows: Sequence[Sequence[Any]]) -> int:
        connection = self._cursor.connection  # its cursors count no rows of a WITH
        before = connection.total_changes
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            self._run(prepared.sqlite[len(chunk)], list(chain.from_iterable(chunk)))
        return int(connection.total_changes - before)

    def finds(self, prepared: PreparedQuery, row: Sequence[Any]) -> bool:
        """Whether a prepared query has any row."""
        return bool(self.fetch(prepared, row))

    def fetch(self, prepared: PreparedQuery, row: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a prepared query, their values as the driver gives them."""
        self._run(prepared.sqlite if self.sqlite else prepared.postgresql, row)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def run(self, statement: OnPostgreSQL, values: Mapping[str, Any]) -> Any:
        """Run a statement that PostgreSQL alone knows; returns the driver's cursor."""
        self._run(statement.text, values)
        return self._cursor

    def _run(self, text: str | bytes, values: Sequence[Any] | Mapping[str, Any]) -> None:
        try:
            self._cursor.execute(text, values)
        except Exception as error:
            # A lost connection cannot be rolled back: that error would hide this one.
            if self.database.trouble(error) is Trouble.AWAY:
                self.connection.invalidate(error)
            raise

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a Core statement."""
        return self.connection.execute(statement, parameters)

    def encode_ids(self, ids: Iterable[UUID]) -> list[Any]:
        """Ids as the driver takes them."""
        return [self.encode_id(each) for each in ids]


class Patience(Enum):
    """How long an operation waits for an unavailable database, where that is no number."""

    STORE_TIMEOUT = "store_timeout"
    """What the settings grant a caller."""


class Operation(Generic[R]):
    """One wish to write. Safe to repeat: after a lost connection it is applied again.

    `apply` gets every waiting operation of its class and returns an outcome for each: a value, or
    an exception that only its caller hears of.
    """

    order: ClassVar[int] = 5
    """Classes of a batch are applied in this order, so that claims see what came before."""

    failpoint: ClassVar[str] = ""
    """Where a test may kill this process: right after the commit, before anyone hears of it."""

    alone: bool = False
    """True for an operation that may wait for somebody else's transaction."""

    patience: float | Patience | None = None
    """Seconds to wait for an unavailable database; None waits for ever."""

    refuse_when_full: bool = False
    """True to give up at once when the disk is full."""

    @classmethod
    def apply(cls, tx: Transaction, operations: Sequence[Self]) -> Sequence[R | Exception]:
        """Write all `operations` and say what became of each, in their order."""
        return [operation.apply_one(tx) for operation in operations]

    def apply_one(self, tx: Transaction) -> R | Exception:
        """Write this one, where a class has nothing to gain from batches."""
        raise AssertionError(f"{type(self).__name__} has neither apply nor apply_one")
