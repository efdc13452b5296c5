"""Who runs, and what waits that nobody will run."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from fastapi_jobs.backends.celery_queues import carrier
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.checks.findings import Finding, error, note, ok, warning
from fastapi_jobs.claiming import backend_of_lane, declared_limits
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.models import QueueRecord, WorkerRecord
from fastapi_jobs.process_identity import is_dead
from fastapi_jobs.registry import registry
from fastapi_jobs.store.lanes import Lane, in_force
from fastapi_jobs.store.probe import WAITING_CAP
from fastapi_jobs.store.stats import QueueCounts

LONG_WAIT_SECONDS = 300.0
"""A due job that has waited longer needs a person's look."""

START_ONE = "Start the app, or: fastapi-jobs worker"


def start_worker(backend: str, queue: str = "") -> str:
    """The command that starts a worker for a backend, or for one queue of it."""
    return f"fastapi-jobs worker --backend {backend}" + (f" --queue {queue}" if queue else "")


def is_stale(worker: WorkerRecord, now: datetime, lease_seconds: float) -> bool:
    """Whether a worker seems dead. Its last beat is by its own clock, so this is a guess."""
    late = (now - worker.heartbeat_at).total_seconds() > lease_seconds
    return late or is_dead(worker.machine, worker.pid, worker.pid_started)


def judge_workers(
    live: Sequence[WorkerRecord], stale: Sequence[WorkerRecord], now: datetime
) -> Iterator[Finding]:
    """Workers that live, that seem dead, and how many jobs all of them run at a time."""
    for worker in stale:
        seconds = (now - worker.heartbeat_at).total_seconds()
        yield warning(
            "stale-worker",
            f"Worker {_name(worker)} had its last heartbeat {seconds:.0f} s ago: it is dead or "
            "stopped. A live worker takes its jobs back; if it lives, compare the clocks.",
        )
    if not live:
        yield note("no-worker", f"No worker lives. {START_ONE}")
        return
    for worker in live:
        if worker.quiet:
            said = "is quieted: it goes on with what it runs and takes nothing more."
            yield warning("quiet-worker", f"Worker {_name(worker)} {said}")
    names = ", ".join(map(_name, live[:5])) + (", …" if len(live) > 5 else "")
    word = "worker lives" if len(live) == 1 else "workers live"
    yield ok("workers", f"{len(live)} {word}: {names}.")
    if len(live) > 1:
        yield _total(live)


def _name(worker: WorkerRecord) -> str:
    return f"{worker.host}:{worker.pid}"


def _total(live: Sequence[WorkerRecord]) -> Finding:
    total: Counter[str] = Counter()
    for worker in live:
        total.update(json.loads(worker.slots))
    keys = {
        "asyncio": "asyncio.max_running",
        "thread": "thread.max_workers",
        "process": "process.max_workers",
    }
    parts = ", ".join(f"{name} {total[name]:,}" for name in sorted(total))
    named = ", ".join(keys[name] for name in sorted(total) if name in keys)
    return note(
        "slots",
        f"Each of {len(live)} workers has slots of its own; at a time they run: {parts}. If that "
        f"is too much for what the jobs call, lower {named}; max_running of a queue or task holds "
        "over all of them.",
    )


def judge_children(
    settings: Settings, live: Sequence[WorkerRecord], here: str, cores: int
) -> Iterator[Finding]:
    """Do the workers of this machine have more child processes than it has cores?"""
    counts = [
        json.loads(worker.slots).get("process", 0) for worker in live if worker.machine == here
    ]
    total = sum(counts)
    if len(counts) > 1 and total > cores:
        origin = settings.origins.get("process.max_workers", "settings")
        yield warning(
            "processes",
            f"{len(counts)} workers on this machine may have {total} child processes, on {cores} "
            f"cores: they only take turns. Set process.max_workers = {max(cores // len(counts), 1)}"
            f" ({origin}), or run one worker and let the others only enqueue (dispatch = false).",
        )


def judge_hosts(live: Collection[WorkerRecord]) -> Iterator[Finding]:
    """A SQLite file that workers of several machines use."""
    # `machine` begins with the kernel's boot id, which containers of one machine share.
    machines = {worker.machine.partition(" ")[0] or worker.host for worker in live}
    if len(machines) > 1:
        hosts = ", ".join(sorted({worker.host for worker in live}))
        yield error(
            "sqlite-hosts",
            f"Workers of several machines ({hosts}) use one SQLite file. Its write-ahead log works "
            "on one machine only: jobs may be lost. Use PostgreSQL.",
        )


def judge_queues(
    settings: Settings, rows: Sequence[QueueRecord], lanes: Sequence[tuple[Lane, int]]
) -> Iterator[Finding]:
    """Paused queues; a person's change wins over the settings."""
    changed = {row.name: row for row in rows if row.paused is not None}
    waiting: Counter[str] = Counter()
    for lane, count in lanes:
        waiting[lane.queue] += count
    for name in sorted({*changed, *settings.queues}):
        row = changed.get(name)
        if row is not None and row.paused:
            by = f" by {row.paused_by}" if row.paused_by else ""
            since = f" since {row.paused_at:%Y-%m-%d %H:%M} UTC" if row.paused_at else ""
            reason = f" ({row.pause_reason})" if row.pause_reason else ""
            how = f"is paused{by}{since}{reason}"
        elif row is None and settings.queue(name).paused:
            origin = settings.origins.get(f"queues.{name}.paused", "settings")
            how = f"is paused by queues.{name}.paused ({origin})"
        else:
            continue
        yield warning("paused", f"Queue {name!r} {how}; {_waiting(waiting[name])} in it.")


def judge_waits(
    settings: Settings,
    rows: Sequence[QueueRecord],
    counts: Mapping[str, QueueCounts],
    now: datetime,
) -> Iterator[Finding]:
    """Queues that take jobs, and whose oldest due job has waited for long."""
    changed = {row.name: row for row in rows}
    for name, found in sorted(counts.items()):
        if (
            found.oldest_due_at is None
            or in_force(declared_limits(settings, name), changed.get(name)).paused
        ):
            continue
        waited = (now - found.oldest_due_at).total_seconds()
        if waited > LONG_WAIT_SECONDS:
            yield warning(
                "long-wait",
                f"The oldest due job of queue {name!r} has waited for {waited / 60:,.0f} min: more "
                "is enqueued than its workers finish, or nobody serves it.",
            )


def judge_troubles(
    database: str | None, broker: str | None, redis: str | None
) -> Iterator[Finding]:
    """What an app that runs cannot reach now."""
    if database is not None:
        yield error("database", f"Nothing can be written: {database}")
    if broker is not None:
        yield warning("broker", f"The broker cannot be told of jobs; they wait: {broker}")
    if redis is not None:
        yield warning("redis", f"Other processes hear of jobs only by polling: {redis}")


def judge_lanes(
    settings: Settings, lanes: Sequence[tuple[Lane, int]], live: Sequence[WorkerRecord]
) -> Iterator[Finding]:
    """Queued jobs that no live worker will run, with the reason."""
    awake = [each for each in live if not each.quiet]
    if not awake:
        total = sum(count for _, count in lanes)
        if total:
            wanted = {backend_of_lane(settings, lane) for lane, _ in lanes}
            start = f"Start one: {start_worker(CELERY)}" if wanted == {CELERY} else START_ONE
            why = "every live worker is quieted" if live else "no worker lives"
            yield warning("waiting", f"{_waiting(total)} and {why}. {start}")
        yield from _unregistered(lanes)
        return
    known: dict[str, list[WorkerRecord]] = {}
    for worker in awake:
        for task in json.loads(worker.tasks):
            known.setdefault(task, []).append(worker)
    unknown: Counter[str] = Counter()
    for lane, count in lanes:
        able = known.get(lane.task)
        if able is None:
            unknown[lane.task] += count
            continue
        why = _why_not(settings, lane, able, awake)
        if why:
            yield warning("unserved", f"{_waiting(count, lane.task)}: no live worker {why}")
    for task, count in sorted(unknown.items()):
        here = _HERE if task in registry else _ABSENT
        yield warning("unknown-task", f"{_waiting(count, task)}: no live worker knows it. {here}")


def _unregistered(lanes: Sequence[tuple[Lane, int]]) -> Iterator[Finding]:
    """Waiting jobs of tasks that no worker with this code would know."""
    unknown: Counter[str] = Counter()
    for lane, count in lanes:
        if lane.task not in registry:
            unknown[lane.task] += count
    for task, count in sorted(unknown.items()):
        hint = did_you_mean(task, registry)
        yield warning("unknown-task", f"{_waiting(count, task)}. {_ABSENT}{hint}")


_HERE = "It is registered here: restart the workers."
_ABSENT = "No module of task_modules here defines it: it was renamed, or its module is missing."


def _why_not(
    settings: Settings, lane: Lane, able: Sequence[WorkerRecord], live: Sequence[WorkerRecord]
) -> str:
    """Why none of `able`, which know the task, runs its jobs, and what to do; or nothing."""
    backend = backend_of_lane(settings, lane)
    queue = carrier(settings, lane.queue, backend)
    serving = [each for each in able if not (only := json.loads(each.queues)) or queue in only]
    if not serving:
        start = f"fastapi-jobs worker --queue {queue}"
        return f"that knows it serves queue {queue!r}. Start one: {start}"
    if backend is None or _any_runs(serving, backend):
        return ""
    if _any_runs(live, backend) and not _any_runs(able, backend):
        return f"that runs backend {backend!r} knows it. {_HERE}"
    # Where others run the backend, it is the queue that they leave.
    start = start_worker(backend, queue if _any_runs(able, backend) else "")
    return f"that serves queue {queue!r} runs backend {backend!r}. Start one: {start}"


def _any_runs(workers: Sequence[WorkerRecord], backend: str) -> bool:
    return any(backend in json.loads(each.backends) for each in workers)


def _waiting(count: int, task: str = "") -> str:
    of = f" of task {task!r}" if task else ""
    if count == 1:
        return f"1 job{of} waits"
    return f"{count:,}{' or more' if count >= WAITING_CAP else ''} jobs{of} wait"
