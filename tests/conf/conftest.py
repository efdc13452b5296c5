"""A host's folder for each test: empty, the working folder, and no variable of ours set."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastapi_jobs.conf import Settings, load
from fastapi_jobs.errors import SettingsError

Write = Callable[..., Path]
Problems = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's folder, which is the working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith("FASTAPI_JOBS_"):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def write(home: Path) -> Write:
    """Write a file into the host's folder, `settings.toml` unless named."""

    def write_file(text: str, name: str = "settings.toml") -> Path:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    return write_file


@pytest.fixture
def problems() -> Problems:
    """What `load` complains about, one sentence each; fails when it complains of nothing."""

    def complaints(settings: str | Path | Settings | None = None, **overrides: object) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load(settings, **overrides)
        return [str(problem) for problem in caught.value.problems]

    return complaints
