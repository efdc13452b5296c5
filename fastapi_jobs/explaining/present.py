"""Where a running job is, and how a finished one ended."""

from collections.abc import Iterator
from typing import Any

from fastapi_jobs.explaining.reasons import Reason, ReasonCode, Viewer, duration, moment
from fastapi_jobs.explaining.surroundings import Surroundings
from fastapi_jobs.status import JobStatus


def where_running(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    """On which worker, since when, and whether it was asked to stop."""
    job, now = around.standing.job, around.now
    started = job.started_at or job.created_at
    worker = next((each for each in around.standing.workers if each.id == job.worker_id), None)
    name = f"{worker.host}:{worker.pid}" if worker is not None and viewer.sees_workers else None
    attempt = around.standing.attempt
    backend = around.backend if attempt is None else attempt.backend
    values: dict[str, Any] = {
        "attempt": job.attempt,
        "backend": backend,
        "worker": name,
        "started_at": started.isoformat(),
        "seconds": (now - started).total_seconds(),
    }
    where = f" on worker {name}" if name else ""
    text = (
        f"It runs{where}, backend {backend!r}, attempt {job.attempt}, since {moment(started)} "
        f"({duration(values['seconds'])})."
    )
    yield Reason(ReasonCode.RUNNING, text, values)
    if job.cancel_requested_at is not None:
        asked = job.cancel_requested_at
        text = (
            f"It was asked to stop at {moment(asked)}, "
            f"{duration((now - asked).total_seconds())} ago: {job.reason or 'no reason given'}. "
            "Its worker ends it; a function in a thread ends by itself."
        )
        values = {"cancel_requested_at": asked.isoformat(), "reason": job.reason}
        yield Reason(ReasonCode.CANCEL_REQUESTED, text, values)
    if worker is None or worker in around.stale:
        yield _gone(around, name)


def _gone(around: Surroundings, name: str | None) -> Reason:
    who = f"Its worker {name}" if name else "Its worker"
    text = f"{who} does not beat any more: another worker takes the job back"
    text += f" within about {duration(around.settings.lease_seconds)}."
    if not around.live:
        text += " No other worker lives. Start the app, or: fastapi-jobs worker"
    return Reason(ReasonCode.WORKER_GONE, text, {"worker": name, "live_workers": len(around.live)})


def how_ended(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    """How a finished job ended and why, and whether its key lets it run again."""
    job = around.standing.job
    ended = job.finished_at or job.created_at
    runs = f"after {job.attempt} attempts" if job.attempt != 1 else "in its first attempt"
    values: dict[str, Any] = {"finished_at": ended.isoformat(), "attempt": job.attempt}
    match JobStatus(job.status):
        case JobStatus.SUCCEEDED:
            text = f"It succeeded {runs} at {moment(ended)}."
            yield Reason(ReasonCode.SUCCEEDED, text, values)
        case JobStatus.FAILED:
            said = _first_line(job.error) or job.reason or "no error was recorded"
            text = f"It failed {runs} at {moment(ended)}: {said.rstrip('.')}."
            yield Reason(ReasonCode.FAILED, text, values | {"error": job.error})
        case _:
            runs = "before it started" if not job.attempt else runs
            said = job.reason or "no reason was recorded"
            text = f"It was cancelled {runs} at {moment(ended)}: {said.rstrip('.')}."
            yield Reason(ReasonCode.CANCELLED, text, values | {"reason": job.reason})
    yield from _key_held(around, viewer)


def _key_held(around: Surroundings, viewer: Viewer) -> Iterator[Reason]:
    holder = around.standing.key_holder
    if holder is None:
        return
    is_visible = viewer.sees(holder.owner)
    who = f"job {holder.id}, which is {holder.status}" if is_visible else "another job"
    text = f"Its unique key is held by {who}: it cannot run again until that one gives it up."
    values = {"holder": str(holder.id) if is_visible else None}
    if is_visible:
        values["status"] = holder.status.value
    yield Reason(ReasonCode.KEY_HELD, text, values)


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0] if text and text.strip() else ""
