"""The settings by themselves, and the file system under a SQLite file."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastapi_jobs.checks.findings import Finding, error, note, warning
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.variables import ENVIRONMENT

CONCURRENCY = "WEB_CONCURRENCY"
"""How uvicorn and gunicorn are told how many processes to start."""

LONG_SESSION = 7 * 86_400.0
LEAST_FREE = 200_000_000

NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.cephfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
    }
)
"""File systems whose locks or shared memory SQLite's write-ahead log cannot rely on."""


def judge_settings(settings: Settings) -> Iterator[Finding]:
    """What the settings allow that a production system should not want unawares."""
    if settings.durability == "normal":
        yield note(
            "durability",
            f"durability = {settings.durability!r} "
            f"({settings.origins.get('durability', 'settings')}): the jobs of the last moments "
            'may be lost in a power cut (not in a crash). durability = "full" keeps them.',
        )
    if settings.api_open and settings.environment not in ("development", "testing"):
        yield warning(
            "api-open",
            f"api_open = true ({settings.origins.get('api_open', 'settings')}) in environment "
            f"{settings.environment!r}: without a permission hook anybody who reaches the API "
            "sees and enqueues jobs. Give jobs.init_app(app, permission=...).",
        )
    for status in ("succeeded", "failed", "cancelled"):
        if getattr(settings.retention, status) is None:
            origin = settings.origins.get(f"retention.{status}", "settings")
            yield note(
                "retention",
                f"retention.{status} = none ({origin}): these jobs are kept for ever and the "
                'database grows without end. Say how long, such as "30d".',
            )
    if settings.backend == "immediate" and settings.environment != "testing":
        yield warning(
            "immediate",
            'backend = "immediate" is for tests: enqueue waits until the job has run.',
        )


def judge_admin(settings: Settings) -> Iterator[Finding]:
    """Who may log in to the admin site where others are, and for how long."""
    admin = settings.admin
    if not admin.enabled or settings.environment in ("development", "testing"):
        return
    if not admin.users:
        yield note(
            "admin-users",
            f"The admin site at {settings.admin_prefix} has no user in the settings, so nobody may "
            "log in, unless mount_admin(login=...) brings one. Make one: fastapi-jobs "
            "admin-password NAME; or leave the site out: admin.enabled = false.",
        )
    if admin.session_seconds > LONG_SESSION:
        yield warning(
            "admin-sessions",
            f"admin.session_seconds = {admin.session_seconds:,.0f} "
            f"({settings.origins.get('admin.session_seconds', 'settings')}): a login lasts longer "
            f"than {LONG_SESSION / 86_400:.0f} days, and so does a stolen cookie. Shorten it.",
        )


def judge_environment(settings: Settings, variables: Mapping[str, str]) -> Iterator[Finding]:
    """What the variables say about where this runs: the environment, and how many processes."""
    if not variables.get(ENVIRONMENT) and settings.environment == "development":
        yield note(
            "environment",
            f"{ENVIRONMENT} is not set, so the environment is 'development', in which the HTTP API "
            f"starts without a permission hook. On a server: {ENVIRONMENT}=production",
        )
    processes = variables.get(CONCURRENCY, "")
    if processes.isdecimal() and int(processes) > 1 and settings.dispatch:
        count = int(processes)
        slots = {
            "asyncio.max_running": settings.asyncio.max_running,
            "thread.max_workers": settings.thread.max_workers,
            "process.max_workers": settings.process.max_workers,
        }
        parts = ", ".join(
            f"{key} {each} x {count} = {each * count:,}" for key, each in slots.items()
        )
        yield note(
            "server-processes",
            f"{CONCURRENCY} = {count}: each process of the server runs jobs of its own, so at a "
            f"time: {parts}. Lower them, or let the server only enqueue (dispatch = false) and run "
            "fastapi-jobs worker.",
        )


def judge_free_space(file: Path) -> Iterator[Finding]:
    """Is there room beside a SQLite file? Without it jobs are refused."""
    folder = file.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < LEAST_FREE:
        yield warning(
            "disk",
            f"The disk of {file} has {free / 1_000_000:,.0f} MB free; below "
            f"{LEAST_FREE / 1_000_000:,.0f} MB a burst of jobs may fill it: then none is taken. "
            "Free some, or shorten retention and run: fastapi-jobs prune",
        )


def judge_file_system(file: Path, mounts: str) -> Iterator[Finding]:
    """A SQLite file on a network file system; `mounts` is the text of /proc/mounts."""
    kind = file_system(file, mounts)
    if kind in NETWORK:
        yield error(
            "file-system",
            f"The SQLite file {file} is on a network file system ({kind}), where SQLite's locks "
            "do not hold: jobs may be lost. Put it on a local disk, or use PostgreSQL.",
        )


def file_system(file: Path, mounts: str) -> str:
    """The type of the file system that holds `file`, or an empty text when it is unknown."""
    best, found = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = _unescaped(fields[1])
        inside = point == "/" or file == Path(point) or str(file).startswith(f"{point}/")
        # Of two mounts on one point the later covers the earlier.
        if inside and len(point) >= len(best):
            best, found = point, fields[2]
    return found


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point


def read_mounts() -> str:
    """What is mounted here; empty where the system does not say."""
    try:
        return Path("/proc/mounts").read_text(errors="replace")
    except OSError:
        return ""


def real_file(file: str) -> Path:
    """Where a file, or the folder it will be made in, really is."""
    return Path(os.path.realpath(file))
