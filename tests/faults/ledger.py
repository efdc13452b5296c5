"""An account outside the database: one line, on the disk, for each thing that happened."""

import os
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

ACCEPTED, BEGUN, ENDED = "accepted", "begun", "ended"


class Line(NamedTuple):
    """One thing that happened to one attempt of a job; `attempt` is 0 where there is none yet."""

    job_id: UUID
    attempt: int
    pid: int


def append(folder: Path, book: str, job_id: object, attempt: int = 0) -> None:
    """Add a line and return when it is on the disk."""
    line = f"{job_id} {attempt} {os.getpid()}\n".encode()
    file = os.open(folder / book, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def lines(folder: Path, book: str) -> list[Line]:
    """What is in a book; an empty list when nothing happened."""
    path = folder / book
    if not path.exists():
        return []
    words = [line.split() for line in path.read_text().splitlines()]
    return [Line(UUID(job_id), int(attempt), int(pid)) for job_id, attempt, pid in words]
