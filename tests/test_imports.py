"""`import fastapi_jobs` stays light: heavy libraries load when they are first needed."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("celery", "redis", "sqladmin", "alembic", "dynaconf", "typer", "rich")


def heavy_after(statement: str, folder: Path) -> set[str]:
    """The heavy libraries that a fresh Python has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    assert heavy_after("import fastapi_jobs", tmp_path) == set()


@pytest.mark.parametrize("name", HEAVY)
def test_a_loaded_library_would_be_seen(tmp_path: Path, name: str) -> None:
    assert name in heavy_after(f"import {name}", tmp_path)
