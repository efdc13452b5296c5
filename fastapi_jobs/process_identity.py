"""Which process this is, so that another on the same machine can know for certain that it died."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A process. `machine` is empty where a pid cannot be looked up with certainty."""

    host: str
    machine: str
    pid: int
    pid_started: int


def this_process() -> Identity:
    """The identity of the running process."""
    pid = os.getpid()
    return Identity(socket.gethostname()[:255], machine(), pid, started(pid) or 0)


def machine() -> str:
    """Boot and process namespace on Linux: where both are equal, a pid means the same."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # Fields 3 and 22 of proc(5): state and starttime.
    return None if fields[0] in "ZX" else int(fields[19])


def is_dead(other_machine: str, pid: int, pid_started: int) -> bool:
    """True only where it is certain: same machine, and that process is gone."""
    if not other_machine or other_machine != machine():
        return False
    return started(pid) != pid_started
