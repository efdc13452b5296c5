"""`fastapi-jobs migrate` and `fastapi-jobs settings`."""

import json
import subprocess
import tomllib
from pathlib import Path

from sqlalchemy import create_engine, text

from fastapi_jobs.store.database import Database
from fastapi_jobs.store.migrate import HEAD, VERSION_TABLE, current_revision
from tests.cli.command import COMMAND, Site, environment


def revision(url: str) -> str | None:
    """The revision of a database's tables."""
    database = Database(url)
    try:
        return current_revision(database)
    finally:
        database.dispose()


def test_migrate_makes_the_tables_and_says_so(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    needed = site.run("migrate", "--check")
    assert needed.returncode == 1
    assert needed.stdout.startswith("A migration is needed: ")
    done = site.run("migrate")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f": from no tables to revision {HEAD}.\n")
    assert revision(database_url) == HEAD
    for words in (["migrate"], ["migrate", "--check"]):
        again = site.run(*words)
        assert again.returncode == 0
        assert again.stdout.endswith(f" is at revision {HEAD}: nothing to do.\n")


def test_looking_does_not_make_a_file(tmp_path: Path, sqlite_url: str) -> None:
    site = Site(tmp_path, sqlite_url)
    assert site.run("migrate", "--check").returncode == 1
    code, found = site.check()
    assert code == 0
    assert "is made at the first start" in found["ok database"][0]
    assert not (tmp_path / "jobs.db").exists()


def test_migrations_at_the_same_time(tmp_path: Path, database_url: str) -> None:
    site = Site(tmp_path, database_url)
    several = [
        subprocess.Popen([*COMMAND, "migrate"], cwd=site.folder, env=environment({}))
        for _ in range(4)
    ]
    assert [each.wait(60) for each in several] == [0, 0, 0, 0]
    assert revision(database_url) == HEAD


def test_tables_of_a_newer_version_are_left_alone(site: Site) -> None:
    engine = create_engine(site.url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    done = site.run("migrate")
    assert done.returncode == 2
    assert "at revision 9999, which this version does not know" in done.stderr
    code, found = site.check()
    assert code == 1
    assert "Install that version here too" in found["error migration"][0]


def test_settings_show_values_origins_and_no_password(sqlite_site: Site) -> None:
    sqlite_site.write(database_url="postgresql://me:hush@db/jobs", retries=4)
    done = sqlite_site.run("settings", FASTAPI_JOBS_BACKEND="thread")
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["retries"].split(None, 2)[1:] == ["4", "settings.toml [default]"]
    assert lines["backend"].split(None, 2)[1] == '"thread"'
    assert "FASTAPI_JOBS_BACKEND" in lines["backend"]
    assert "postgresql+psycopg://me:***@db/jobs" in lines["database_url"]
    assert "hush" not in done.stdout
    assert "\x1b" not in done.stdout


def test_settings_as_json_and_by_origin(sqlite_site: Site) -> None:
    sqlite_site.write(database_url="postgresql://me:hush@db/jobs", retries=4)
    done = sqlite_site.run("settings", "--json", "--origin", "SETTINGS.toml")
    shown = json.loads(done.stdout)
    assert shown["environment"] == "development"
    assert shown["files"] == [str(sqlite_site.folder / "settings.toml")]
    values = {each["key"]: each["value"] for each in shown["settings"]}
    assert values == {
        "database_url": '"postgresql+psycopg://me:***@db/jobs"',
        "retries": "4",
    }
    assert tomllib.loads(f"url = {values['database_url']}")


def test_settings_of_another_file_and_environment(sqlite_site: Site) -> None:
    other = sqlite_site.folder / "other.toml"
    other.write_text("[staging.fastapi_jobs]\nretries = 7\n")
    done = sqlite_site.run("settings", "--settings", "other.toml", "--env", "staging")
    assert done.stdout.startswith(f"environment staging, {other}")
    assert "other.toml [staging]" in done.stdout
