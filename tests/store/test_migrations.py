"""Models and migrations agree; migrating is safe beside a host's tables and beside other starts."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from fastapi_jobs.errors import NotMigrated, StoreUnavailable
from fastapi_jobs.models import Base
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import (
    HEAD,
    VERSION_TABLE,
    alembic_config,
    current_revision,
    require_head,
    upgrade,
)
from fastapi_jobs.store.store import Store

SQLITE_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
FROM information_schema.columns WHERE table_schema = 'public'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"


def schema_of(database: Database) -> set[tuple[Any, ...]]:
    """Everything that the database knows of its tables, but for the version table."""
    statements = [SQLITE_SCHEMA] if database.is_sqlite else [COLUMNS, INDEXES]
    found = set()
    with database.reading.connect() as connection:
        for statement in statements:
            for row in connection.execute(text(statement)):
                if VERSION_TABLE not in str(tuple(row)):
                    words = [re.sub(r"\s+", " ", v) if isinstance(v, str) else v for v in row]
                    found.add(tuple(words))
    return {_sorted_columns(row) for row in found}


def _sorted_columns(row: tuple[Any, ...]) -> tuple[Any, ...]:
    # The order of columns and of the clauses of CREATE TABLE says nothing.
    if row[0] == "table":
        head, _, body = str(row[2]).partition("(")
        return (*row[:2], head, *sorted(part.strip() for part in body.split(", ")))
    return row


def drop_ours(database: Database) -> None:
    """Back to an empty database."""
    with database.writing.connect() as connection, connection.begin():
        Base.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))


def test_models_and_migrations_agree(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database)
    migrated = schema_of(database)
    drop_ours(database)
    with database.writing.connect() as connection, connection.begin():
        Base.metadata.create_all(connection)
    assert schema_of(database) == migrated
    database.dispose()


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]


def test_upgrade_and_downgrade(database_url: str) -> None:
    database = Database(database_url)
    assert current_revision(database) is None
    upgrade(database)
    assert current_revision(database) == HEAD
    upgrade(database)
    with database.writing.connect() as connection, connection.begin():
        command.downgrade(alembic_config(connection), "base")
    assert schema_of(database) == set()
    assert current_revision(database) is None
    upgrade(database)
    require_head(database)
    database.dispose()


def test_the_hosts_tables_are_left_alone(database_url: str) -> None:
    host = create_engine(database_url)
    with host.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('host-7')"))
        connection.execute(text("CREATE TABLE jobs (id INTEGER PRIMARY KEY, name VARCHAR(10))"))
        connection.execute(text("INSERT INTO jobs VALUES (1, 'theirs')"))
    database = Database(database_url)
    upgrade(database)
    with database.writing.connect() as connection, connection.begin():
        command.downgrade(alembic_config(connection), "base")
    upgrade(database)
    with host.connect() as connection:
        assert connection.execute(text("SELECT * FROM alembic_version")).scalars().all() == [
            "host-7"
        ]
        assert connection.execute(text("SELECT * FROM jobs")).all() == [(1, "theirs")]
    database.dispose()
    host.dispose()


def test_four_threads_migrate_at_once(database_url: str) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        store = Store(database_url, auto_migrate=True)
        try:
            store.open()
        except BaseException as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


START = """
import sys
from fastapi_jobs.store.store import Store
store = Store(sys.argv[1], auto_migrate=True)
sys.stdin.read(1)
store.open()
store.close()
"""


def test_four_processes_migrate_at_once(database_url: str) -> None:
    command_line = [sys.executable, "-c", START, database_url]
    processes = [
        subprocess.Popen(command_line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("g")
        process.stdin.flush()
    said = [process.communicate(timeout=180)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said


def test_an_empty_database_is_refused_with_the_command(database_url: str) -> None:
    store = Store(database_url, auto_migrate=False)
    with pytest.raises(NotMigrated) as caught:
        store.open()
    said = str(caught.value)
    assert said.startswith("The database ")
    assert f"is without our tables; this version needs {HEAD} (fastapi_jobs " in said
    assert said.endswith("Run: fastapi-jobs migrate")
    store.close()


def test_an_older_database_is_refused_with_its_revision(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database, "0001")
    with pytest.raises(NotMigrated, match=f"is at revision 0001; this version needs {HEAD}"):
        require_head(database)
    upgrade(database)
    require_head(database)
    database.dispose()


def test_only_sqlite_is_migrated_without_being_asked(sqlite_url: str, postgres_url: str) -> None:
    embedded = Store(sqlite_url)
    embedded.open()
    embedded.close()
    with pytest.raises(NotMigrated):
        Store(postgres_url).open()


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    store = Store("postgresql+psycopg://me:secret@127.0.0.1:9/none")
    with pytest.raises(StoreUnavailable) as caught:
        store.open()
    assert "secret" not in str(caught.value)
    assert "cannot be used now" in str(caught.value)
