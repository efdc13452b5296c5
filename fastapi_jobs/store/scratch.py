"""A place for a store that lives for a moment, beside the real one and never in it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fastapi_jobs.errors import StoreError
from fastapi_jobs.store.database import Database

PREFIX = "fastapi_jobs_bench_"
SEARCH_PATH = "-csearch_path={schema}"


class NoScratch(StoreError):
    """No throw-away schema can be had in this database."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(
            f"No schema of its own can be had in {database}: {reason} "
            "Use an account that may create schemas, straight at the server (no pooler)."
        )


@contextmanager
def scratch_url(url: str) -> Iterator[str]:
    """The URL of an empty database on the same disk or server, gone at the end.

    Raises:
        StoreUnavailable, NoScratch, OSError
    """
    database = Database(url)
    try:
        if not database.is_sqlite:
            with _schema(database) as inside:
                yield inside
            return
        file = Path(database.url.database or ".")
        with tempfile.TemporaryDirectory(prefix=f".{PREFIX}", dir=file.parent) as folder:
            yield f"sqlite:///{folder}/bench.db"
    finally:
        database.dispose()


@contextmanager
def _schema(database: Database) -> Iterator[str]:
    name = f"{PREFIX}{uuid4().hex[:12]}"
    query = database.url.query
    options = query.get("options", "")
    given = options if isinstance(options, str) else " ".join(options)
    option = SEARCH_PATH.format(schema=name)
    inside = database.url.update_query_dict({"options": f"{given} {option}".strip()})
    try:
        with database.writing.begin() as connection:
            connection.execute(text(f'CREATE SCHEMA "{name}"'))
    except DBAPIError as error:
        away = database.unavailable(error)
        if error.connection_invalidated or "connect" in away.reason:
            raise away from error
        raise NoScratch(database.name, f"{away.reason}.") from error
    try:
        url = inside.render_as_string(hide_password=False)
        _require_schema(url, name)
        yield url
    finally:
        with database.writing.begin() as connection:
            connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))


def _require_schema(url: str, name: str) -> None:
    # A pooler may drop the option that names the schema: then the tables would be the real ones.
    scratch = Database(url)
    try:
        with scratch.writing.connect() as connection:
            found = connection.execute(text("SELECT current_schema()")).scalar()
    except DBAPIError as error:
        raise NoScratch(scratch.name, f"{scratch.unavailable(error).reason}.") from error
    finally:
        scratch.dispose()
    if found != name:
        raise NoScratch(scratch.name, "the option search_path is not passed on.")
