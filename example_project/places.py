"""Where the example keeps its files."""

import os
from pathlib import Path
from uuid import UUID

HERE = Path(__file__).parent
SETTINGS = HERE / "settings.toml"
OUT_VARIABLE = "EXAMPLE_PROJECT_OUT"
"""A folder for the results instead of `out/` beside this file."""


def out(*parts: str) -> Path:
    """A file below the folder of results; its own folder is made."""
    path = Path(os.environ.get(OUT_VARIABLE) or HERE / "out").absolute().joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def result(kind: str, job_id: UUID | None, name: str) -> Path:
    """A file that a job makes. Its folder bears the job's id: no two jobs ever meet there, and
    another attempt of the same job writes the same file again."""
    return out(kind, str(job_id or "by-hand"), name)


def files_of(job_id: UUID) -> list[Path]:
    """The finished files of a job, those made first in front."""
    found = [file for file in out().glob(f"*/{job_id}/*") if file.suffix != ".part"]
    return sorted(found, key=lambda file: (file.stat().st_mtime_ns, file.name))


def replace(path: Path, part: Path) -> None:
    """Put a finished file in its place at one blow.

    A job may run again after a crash, so no attempt must leave half a file behind.
    """
    os.replace(part, path)
