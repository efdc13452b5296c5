"""The shipped file: complete, explained, and cheap to load."""

import json
import subprocess
import sys
import tomllib
from importlib.resources import files

from fastapi_jobs.conf import QueueSettings, load
from fastapi_jobs.conf.shape import known, known_keys

TEXT = files("fastapi_jobs.settings").joinpath("defaults.toml").read_text("utf-8")


def flat(table: dict[str, object], prefix: str = "") -> set[str]:
    keys = set()
    for name, value in table.items():
        keys.add(prefix + name)
        if isinstance(value, dict):
            keys |= flat(value, f"{prefix}{name}.")
    return keys


def test_every_key_is_shipped() -> None:
    assert flat(tomllib.loads(TEXT)["default"]["fastapi_jobs"]) == set(known_keys())


def test_every_key_has_a_sentence_above_it() -> None:
    lines = TEXT.splitlines()
    keys = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    assert len(keys) > 40
    for number in keys:
        assert lines[number - 1].startswith("# "), lines[number]
        assert lines[number - 1].endswith("."), lines[number]


def test_the_shown_queue_has_every_key_with_its_default() -> None:
    start = TEXT.index("# [default.fastapi_jobs.queues.reports]")
    shown = [line[2:] for line in TEXT[start:].splitlines() if line.startswith("# ")]
    table = tomllib.loads("\n".join(line for line in shown if "=" in line and " #" in line))
    assert set(table) == set(QueueSettings.model_fields)
    assert load(queues={"reports": table}).queue("reports") == QueueSettings()


def test_principal_defaults() -> None:
    settings = load()
    assert settings.model_dump(
        include={"backend", "durability", "retries", "timeout", "max_crashes", "max_payload"}
    ) == {
        "backend": "asyncio",
        "durability": "full",
        "retries": 0,
        "timeout": None,
        "max_crashes": 3,
        "max_payload": 1024 * 1024,
    }
    assert (settings.heartbeat_seconds, settings.lease_seconds) == (5, 15)
    assert (settings.asyncio.max_running, settings.thread.max_workers) == (100, 20)
    assert (settings.api_prefix, settings.admin_prefix) == ("/jobs", "/jobs-admin")


def test_free_names_and_tables_are_told_apart() -> None:
    tables = {key for key in known().keys if known().keys[key].is_table}
    assert tables == {
        "asyncio", "thread", "process", "celery", "retention", "admin", "queues", "routes"
    }  # fmt: skip


def test_import_loads_nothing_heavy() -> None:
    script = (
        "import json, sys, fastapi_jobs.conf; "
        "fastapi_jobs.conf.load(); print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    heavy = ["dynaconf", "celery", "redis", "sqladmin", "alembic", "typer", "rich"]
    assert loaded.isdisjoint(heavy)
