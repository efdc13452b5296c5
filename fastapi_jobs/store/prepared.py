"""Statements of the hot path, compiled once for each driver and run with plain values.

SQLAlchemy's own path costs some 20 µs a row, four times a job. Both databases take the rows of a
batch at once, as a table named `given`: PostgreSQL as arrays, SQLite as VALUES. Row by row,
SQLite's driver would hand the GIL over at each of them, and wait for it with the event loop.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    Text,
    bindparam,
    column,
    func,
    select,
    table,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.dml import Update, UpdateBase
from sqlalchemy.types import TypeEngine

Values = Mapping[str, ColumnElement[Any]]
Statement = UpdateBase | Select[Any]

SOURCE = "given"

CHUNK = 32
"""How many rows a statement of SQLite takes at most: few enough that the driver keeps one of each
size prepared."""


class PreparedQuery:
    """The text of one query for both drivers, its values in the order of `columns`."""

    def __init__(self, columns: Sequence[str], query: Select[Any]) -> None:
        self.sqlite = _compiled(query, SQLiteDialect_pysqlite(), columns)
        self.postgresql = _compiled(query, _psycopg(), columns)


class OnPostgreSQL:
    """The text of one statement for PostgreSQL's driver alone, its values by name."""

    def __init__(self, statement: Statement) -> None:
        dialect: Any = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]
        self.text = str(statement.compile(dialect=dialect)).encode()


class Prepared:
    """The text of one change of many rows, their values in the order of `columns`."""

    def __init__(self, columns: Sequence[str], *, on_sqlite: UpdateBase, on_postgresql: UpdateBase):
        change = _compiled(on_sqlite, SQLiteDialect_pysqlite(), ())
        self.sqlite = [_rows_of_values(columns, rows) + change for rows in range(CHUNK + 1)]
        """The text for each number of rows."""
        self.postgresql = _compiled(on_postgresql, _psycopg(), columns)


def _psycopg() -> Any:
    return PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]


def _compiled(statement: Statement, dialect: Any, columns: Sequence[str]) -> str:
    compiled = statement.compile(dialect=dialect)
    order = tuple(getattr(compiled, "positiontup", None) or ())
    if order != tuple(columns):
        raise AssertionError(f"bound columns {order} are not {columns}")
    return str(compiled)


def _rows_of_values(columns: Sequence[str], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"WITH {SOURCE} ({', '.join(columns)}) AS (VALUES {', '.join([row] * rows)}) "


def prepared_insert(into: Table, columns: Sequence[str], fixed: Values | None = None) -> Prepared:
    """An insert of many rows; those whose key is there already are left alone."""
    fixed = fixed or {}
    rows, arrays = _rows(columns), _arrays({name: into.c[name].type for name in columns})
    # Without its WHERE, SQLite would read ON CONFLICT as the condition of a join.
    on_sqlite = select(*rows.values(), *fixed.values()).where(true())
    on_postgresql = select(*arrays.values(), *fixed.values())
    names = [*columns, *fixed]
    return Prepared(
        columns,
        on_sqlite=sqlite.insert(into).from_select(names, on_sqlite).on_conflict_do_nothing(),
        on_postgresql=postgresql.insert(into)
        .from_select(names, on_postgresql)
        .on_conflict_do_nothing(),
    )


def prepared_update(
    types: Mapping[str, TypeEngine[Any]],
    build: Callable[[Values], Update],
    on_postgresql: Callable[[Update, Values], UpdateBase] = lambda change, given: change,
) -> Prepared:
    """An update of many rows, each by its own values of these types.

    `on_postgresql` makes it part of a larger statement, which SQLite does not know.
    """
    arrays = _arrays(types)
    return Prepared(
        tuple(types),
        on_sqlite=build(_rows(tuple(types))),
        on_postgresql=on_postgresql(build(arrays), arrays),
    )


def _rows(columns: Sequence[str]) -> Values:
    """The columns of the table that `_rows_of_values` makes."""
    given = table(SOURCE, *(column(name) for name in columns))
    return {name: given.c[name] for name in columns}


def array_literal(values: Iterable[str | int | None]) -> str:
    """Values as PostgreSQL writes an array; the driver's own way asks each of them for its type.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    return "{" + ",".join([_array_element(value) for value in values]) + "}"


def _array_element(value: str | int | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _arrays(types: Mapping[str, TypeEngine[Any]]) -> Values:
    """The columns of a table made of one array for each value."""
    # As plain texts: a cast to VARCHAR(n) would cut a longer one instead of refusing it.
    kinds = {name: Text() if isinstance(kind, String) else kind for name, kind in types.items()}
    arrays = (bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items())
    given = func.unnest(*arrays).table_valued(*types).render_derived(name=SOURCE)
    return {name: given.c[name] for name in types}
