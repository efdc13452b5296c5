"""Why a waiting job does not start: one function for each kind of obstacle."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.checks.running import START_ONE, start_worker
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.explaining.reasons import (
    Reason,
    ReasonCode,
    Viewer,
    counted,
    duration,
    listed,
    moment,
)
from fastapi_jobs.explaining.surroundings import Able, Surroundings
from fastapi_jobs.making_way import DRAIN_SECONDS
from fastapi_jobs.registry import registry
from fastapi_jobs.store.explain import AHEAD_CAP, Ahead, Facts, Running

NAMED = 5
"""How many holders, workers or lanes one reason names; the rest is counted."""


def why_waiting(around: Surroundings, facts: Facts, viewer: Viewer) -> Iterator[Reason]:
    """Every obstacle of a queued job, those that no free slot would lift first."""
    found = [*_paused(around, viewer), *_unserved(around, viewer), *_unannounced(around, viewer)]
    if around.standing.job.suspect:
        found += _suspect(facts, viewer)
    else:
        found += [
            *_limits(around, viewer),
            *_making_way(around, facts, viewer),
            *_slots(around, viewer),
            *_behind(around, facts, viewer),
        ]
    if not found:
        seconds = around.settings.poll_seconds
        text = f"Nothing stands in its way: a worker takes it within about {duration(seconds)}."
        found.append(Reason(ReasonCode.NEXT, text, {"poll_seconds": seconds}))
    yield from found
    yield from expiry(around)


def why_not_due(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    """When a scheduled job is due, and what would stop it even then."""
    job = around.standing.job
    due = job.run_after or around.now
    seconds = (due - around.now).total_seconds()
    values: dict[str, Any] = {"run_after": due.isoformat(), "seconds": max(seconds, 0.0)}
    if seconds > 0:
        text = f"It is not due until {moment(due)}, in {duration(seconds)}."
        yield Reason(ReasonCode.NOT_DUE, text, values)
    else:
        text = f"It is due since {moment(due)}; the next look of a worker queues it."
        yield Reason(ReasonCode.NEXT, text, values)
    attempt = around.standing.attempt
    if attempt is not None:
        said = f": {attempt.error.splitlines()[0]}" if attempt.error else ""
        outcome = (attempt.outcome or "ended").replace("_", " ")
        text = f"It waits to run again: attempt {attempt.number} {outcome}{said}"
        values = {
            "attempt": attempt.number,
            "outcome": attempt.outcome,
            "error": attempt.error,
            "failures": job.failures,
        }
        yield Reason(ReasonCode.RETRYING, text.rstrip(".") + ".", values)
    yield from _paused(around, viewer)
    yield from _unserved(around, viewer)
    yield from expiry(around)


def expiry(around: Surroundings) -> Iterator[Reason]:
    """When it is cancelled instead."""
    job = around.standing.job
    if job.expires_at is None or job.attempt:
        return
    seconds = (job.expires_at - around.now).total_seconds()
    values = {"expires_at": job.expires_at.isoformat(), "seconds": max(seconds, 0.0)}
    if seconds <= 0:
        text = f"It expired at {moment(job.expires_at)}: the next look of a worker cancels it."
    elif job.run_after is not None and job.expires_at <= job.run_after:
        text = f"It expires at {moment(job.expires_at)}, before it is due: it will be cancelled."
    else:
        text = f"It is cancelled if it has not started in {duration(seconds)}, when it expires."
    yield Reason(ReasonCode.EXPIRES, text, values)


def _paused(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    queue = around.lane.queue
    row = around.rows.get(queue)
    if not around.limits(queue).paused:
        return
    values: dict[str, Any] = {"queue": queue, "by": None, "since": None, "reason": None}
    cure = f"Resume it: fastapi-jobs resume {queue}"
    if row is None or row.paused is None:
        origin = around.settings.origins.get(f"queues.{queue}.paused", "settings")
        text = f"Queue {queue!r} is paused by the settings: queues.{queue}.paused"
        text += f" ({origin}). " if viewer.sees_workers else ". "
        yield Reason(ReasonCode.PAUSED, text + cure, values | {"by": "settings"})
        return
    parts = [f"Queue {queue!r} is paused"]
    values["since"] = None if row.paused_at is None else row.paused_at.isoformat()
    if viewer.sees_workers:
        values |= {"by": row.paused_by, "reason": row.pause_reason}
        parts.append(f" by {row.paused_by}" if row.paused_by else "")
    if row.paused_at is not None:
        ago = duration((around.now - row.paused_at).total_seconds())
        parts.append(f" since {moment(row.paused_at)} ({ago} ago)")
    parts.append(f": {values['reason']}" if values["reason"] else "")
    yield Reason(ReasonCode.PAUSED, f"{''.join(parts).rstrip('.')}. {cure}", values)


def _unserved(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    lane, backend, queue = around.lane, around.backend, around.carrier
    if not around.live:
        names = [f"{each.host}:{each.pid}" for each in around.stale]
        gone = ""
        if names and viewer.sees_workers:
            gone = f" {listed(names[:NAMED], len(names))} stopped beating."
        start = f"Start one: {start_worker(backend)}" if backend == CELERY else START_ONE
        values = {"workers": names[:NAMED] if viewer.sees_workers else []}
        yield Reason(ReasonCode.NO_WORKER, f"No worker lives.{gone} {start}", values)
        return
    quiet = [each.name for each in around.live if around.could_run(each, lane)]
    if quiet and not around.servers():
        yield _quiet(quiet if viewer.sees_workers else [], start_worker(backend))
        return
    known = [each for each in around.live if lane.task in each.tasks]
    able = [each for each in around.live if backend in each.backends]
    if not known or (able and not any(lane.task in each.tasks for each in able)):
        yield _unknown_task(around, f" that runs backend {backend!r}" if known else "")
        return
    serving = [each for each in known if each.serves(queue)]
    if not serving:
        text = (
            f"No live worker that knows task {lane.task!r} serves queue {queue!r}. "
            f"Start one: fastapi-jobs worker --queue {queue}"
        )
        yield Reason(ReasonCode.QUEUE_UNSERVED, text, {"task": lane.task, "queue": queue})
    elif not any(backend in each.backends for each in serving):
        text = (
            f"It needs backend {backend!r}, and no live worker that serves queue {queue!r} "
            # Where others run the backend, it is the queue that they leave.
            f"runs it. Start one: {start_worker(backend, queue if able else '')}"
        )
        yield Reason(ReasonCode.BACKEND_UNSERVED, text, {"backend": backend, "queue": queue})


def _quiet(names: Sequence[str], start: str) -> Reason:
    who = f" ({listed(names[:NAMED], len(names))})" if names else ""
    text = (
        f"Every live worker that would run it is quieted{who} and takes nothing more. "
        f"Let one go on, or start another: {start}"
    )
    return Reason(ReasonCode.QUIET, text, {"workers": list(names[:NAMED])})


def _unannounced(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    away = around.broker_away
    if away is None:
        return
    text = str(away) if viewer.sees_workers else "The broker of its workers does not answer."
    values = {
        "broker": away.broker if viewer.sees_workers else None,
        "reason": away.reason if viewer.sees_workers else None,
    }
    text += " The job waits in the database, and is published when the broker answers."
    yield Reason(ReasonCode.BROKER_AWAY, text, values)


def _unknown_task(around: Surroundings, which: str) -> Reason:
    task = around.lane.task
    text = f"No live worker{which} knows task {task!r}. "
    if task in registry:
        text += "It is registered here: restart the workers with this version of the code."
    else:
        known = {name for each in around.live for name in each.tasks}
        hint = did_you_mean(task, known)
        text += f"It was renamed, or its module is missing in task_modules.{hint}"
    values = {"task": task, "is_registered_here": task in registry, "workers": len(around.live)}
    return Reason(ReasonCode.UNKNOWN_TASK, text, values)


def _limits(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    queue, task = around.lane.queue, around.lane.task
    if around.queue_is_full(queue):
        limit = around.limits(queue).max_running
        held = [each for each in around.standing.running if each.lane.queue == queue]
        text = f"Queue {queue!r} runs at most {limit:,} at a time (max_running)"
        values = {"queue": queue, "max_running": limit}
        yield _held(ReasonCode.QUEUE_FULL, text, values, held, around, viewer)
    if around.task_is_full(task):
        limit = around.task_limit(task)
        held = [each for each in around.standing.running if each.lane.task == task]
        text = f"Task {task!r} runs at most {limit:,} at a time (max_running)"
        values = {"task": task, "max_running": limit}
        yield _held(ReasonCode.TASK_FULL, text, values, held, around, viewer)


def _slots(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    """Every live worker that would take it has no free slot."""
    servers, backend = around.servers(), around.backend
    held: list[Running] = []
    total = 0
    for each in servers:
        used, slots = around.used(each.record.id), each.slots.get(backend)
        if slots is None or len(used) < slots:
            return
        total += slots
        held += used
    if not servers:
        return
    held.sort(key=lambda each: each.started_at)
    of = "the live worker" if len(servers) == 1 else f"all {len(servers)} live workers"
    text = f"All {counted(total, 'slot')} of backend {backend!r} on {of} are taken"
    values = {"backend": backend, "slots": total}
    yield _held(ReasonCode.BACKEND_FULL, text, values, held, around, viewer)


def _held(
    code: ReasonCode,
    text: str,
    values: dict[str, Any],
    held: Sequence[Running],
    around: Surroundings,
    viewer: Viewer,
) -> Reason:
    """A full limit with those who hold it, as far as the viewer sees them."""
    visible = [each for each in held if viewer.sees(each.owner)][:NAMED]
    workers = {each.record.id: each for each in around.live}
    names = [_holder(each, around, workers if viewer.sees_workers else {}) for each in visible]
    count = len(held) if viewer.sees_workers else len(visible)
    if viewer.sees_workers:
        text += f", and {count:,} run{'s' if count == 1 else ''}: {listed(names, count)}."
    else:
        text += f"; of yours runs {listed(names, len(names))}." if names else "."
    holders = [
        {
            "id": str(each.id),
            "task": each.lane.task,
            "worker": workers[each.worker_id].name
            if viewer.sees_workers and each.worker_id in workers
            else None,
            "started_at": each.started_at.isoformat(),
        }
        for each in visible
    ]
    return Reason(code, text, values | {"running": count, "holders": holders})


def _holder(job: Running, around: Surroundings, workers: dict[Any, Able]) -> str:
    ago = duration((around.now - job.started_at).total_seconds())
    worker = workers.get(job.worker_id)
    where = f" on {worker.name}" if worker is not None else ""
    return f"job {job.id} ({job.lane.task}{where}, for {ago})"


def _behind(around: Surroundings, facts: Facts, viewer: Viewer) -> Iterator[Reason]:
    total = sum(each.count for each in facts.ahead)
    if not total:
        return
    if not viewer.sees_workers:  # how many jobs others have is theirs to know
        rank_of_mine = facts.standing.job.priority
        values: dict[str, Any] = {"ahead": None, "priority": rank_of_mine}
        yield Reason(ReasonCode.BEHIND, "Other jobs come first.", values)
        return
    rank = around.limits(around.lane.queue).priority
    larger: dict[tuple[str, int], int] = {}
    mine = facts.standing.job.priority
    for each in facts.ahead:
        queue_rank = around.limits(each.lane.queue).priority
        key = (each.lane.queue, queue_rank) if queue_rank > rank else ("", each.priority)
        larger[key] = larger.get(key, 0) + each.count
    parts = [
        f"{count:,} in queue {queue!r}, which is served first (priority {priority})"
        if queue
        else f"{count:,} of priority {priority}" + (" that are older" if priority == mine else "")
        for (queue, priority), count in sorted(larger.items(), key=_largest_first)
    ]
    verb = "waits" if total == 1 else "wait"
    text = f"{counted(total, 'job', cap=AHEAD_CAP)} {verb} ahead of it: {listed(parts, 0)}."
    values = {
        "ahead": total,
        "is_capped": total >= AHEAD_CAP,
        "priority": mine,
        "by_priority": _by_priority(facts.ahead),
    }
    yield Reason(ReasonCode.BEHIND, text, values)


def _largest_first(part: tuple[tuple[str, int], int]) -> tuple[bool, int]:
    (queue, priority), _ = part
    return not queue, -priority


def _by_priority(ahead: Sequence[Ahead]) -> dict[str, int]:
    found: dict[int, int] = {}
    for each in ahead:
        found[each.priority] = found.get(each.priority, 0) + each.count
    return {str(priority): found[priority] for priority in sorted(found, reverse=True)}


def _making_way(around: Surroundings, facts: Facts, viewer: Viewer) -> Iterator[Reason]:
    """Each live worker that would take it runs a suspect alone, or is busy while one waits to."""
    servers = around.servers()
    held = {each.record.id: around.busy(each.record.id) for each in servers}
    others = [each for each in servers if not any(job.is_alone for job in held[each.record.id])]
    lanes = {each.record.id: around.makes_way_for(each, facts.suspects) for each in others}
    if not servers or not all(held[each] and lanes[each] for each in lanes):
        return
    waiting = None
    if viewer.sees_workers:
        waiting = sum(facts.suspects[lane] for lane in set().union(*lanes.values()))
    values: dict[str, Any] = {"suspects": waiting}
    if not others:
        text = "Beside a job that may have killed its process, a worker starts nothing"
        alone = [job for running in held.values() for job in running]
        yield _held(ReasonCode.SUSPECT_FIRST, text, values, alone, around, viewer)
        return
    text = (
        f"{'A job' if waiting is None else counted(waiting, 'job')} that may have killed a "
        f"process must run alone: to make way, busy workers start nothing for up to "
        f"{duration(DRAIN_SECONDS)} at a time."
    )
    yield Reason(ReasonCode.SUSPECT_FIRST, text, values | {"seconds": DRAIN_SECONDS})


def _suspect(facts: Facts, viewer: Viewer) -> Iterator[Reason]:
    before = sum(facts.suspects.values()) if viewer.sees_workers else 0
    others = f"; {counted(before, 'other')} of the kind come first" if before else ""
    text = (
        "It ran when a process died with several jobs, and may have killed it: it waits to run "
        f"alone, in a worker that runs nothing else{others}."
    )
    yield Reason(ReasonCode.SUSPECT, text, {"suspects_ahead": before})
