"""What happened to a job, from its enqueue to its end, in steps that a page can draw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi_jobs.models import AttemptRecord, JobRecord
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store.job_view import JobView

WIDTH = 1000.0
"""The units of the drawing, from the first moment to the last."""

LEAST = 6.0
"""So wide is at least what was, however short."""

OUTCOMES = {
    AttemptOutcome.SUCCEEDED: "succeeded",
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.TIMED_OUT: "timed out",
    AttemptOutcome.CANCELLED: "was cancelled",
    AttemptOutcome.RETRY_LATER: "asked to be tried again later",
    AttemptOutcome.SNOOZED: "snoozed",
    AttemptOutcome.CRASHED: "crashed",
    AttemptOutcome.RELEASED: "was given back",
}
NOTES = {
    AttemptOutcome.CRASHED: "Its process died. Another worker noticed it, and took the job back.",
    AttemptOutcome.RELEASED: "Its worker stopped, and gave the job back uncharged.",
}
ICONS = {
    AttemptOutcome.SUCCEEDED: "check",
    AttemptOutcome.CANCELLED: "ban",
    AttemptOutcome.CRASHED: "bolt",
    AttemptOutcome.RELEASED: "arrow-back-up",
    AttemptOutcome.SNOOZED: "zzz",
    AttemptOutcome.RETRY_LATER: "clock",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One moment or span."""

    kind: str
    """For its colour: `wait`, `run`, `moment`, or the outcome of an attempt."""
    icon: str
    title: str
    at: datetime
    end: datetime | None = None
    """Of a span."""
    note: str = ""
    attempt: int | None = None
    is_open: bool = False
    """The span has not ended."""
    x: float = 0.0
    width: float = 0.0

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.end is None else max((self.end - self.at).total_seconds(), 0.0)


def timeline(view: JobView, now: datetime) -> list[Step]:
    """The steps in their order, with their places in the drawing."""
    steps = list(_steps(view, now))
    first = min(each.at for each in steps)
    span = max((each.end or each.at) for each in steps) - first
    seconds = span.total_seconds() or 1.0
    return [_placed(each, first, seconds) for each in steps]


def _placed(step: Step, first: datetime, seconds: float) -> Step:
    width = max((step.seconds or 0.0) / seconds * WIDTH, LEAST)
    x = min((step.at - first).total_seconds() / seconds * WIDTH, WIDTH - width)
    return replace(step, x=round(max(x, 0.0), 1), width=round(width, 1))


def _steps(view: JobView, now: datetime) -> Iterator[Step]:
    job, runs = view.job, view.attempts
    owner = f"for {job.owner}" if job.owner else ""
    yield Step("moment", "plus", "Enqueued", job.created_at, note=owner)
    if runs and runs[0].number > 1:
        text = f"{runs[0].number - 1:,} earlier attempts are not shown"
        yield Step("moment", "dots-vertical", text, job.created_at)
    else:
        yield from _first_wait(job, runs)
    for index, run in enumerate(runs):
        if index:
            yield from _between(runs[index - 1], run)
        yield _attempt(view, run, now)
    yield from _rest(job, runs, now)


def _first_wait(job: JobRecord, runs: Sequence[AttemptRecord]) -> Iterator[Step]:
    if not runs:
        return
    # The record says when its latest attempt was due: of the first, while it is the only one.
    due = job.run_after if len(runs) == 1 else None
    start = job.created_at
    if due is not None and start < due <= runs[0].started_at:
        yield Step("wait", "clock", "Scheduled for later", start, due)
        yield Step("moment", "calendar-due", "Due", due)
        start = due
    if (runs[0].started_at - start).total_seconds() > 0:
        yield Step("wait", "dots", "Waited in the queue", start, runs[0].started_at)


def _between(before: AttemptRecord, run: AttemptRecord) -> Iterator[Step]:
    if before.finished_at is None or run.started_at <= before.finished_at:
        return
    title = "Waited to be tried again"
    if before.outcome in (AttemptOutcome.SUCCEEDED, AttemptOutcome.CANCELLED):
        title = "Finished, until somebody ran it again"
    elif before.outcome in (AttemptOutcome.CRASHED, AttemptOutcome.RELEASED):
        title = "Waited for another worker"
    yield Step("wait", "clock", title, before.finished_at, run.started_at)


def _attempt(view: JobView, run: AttemptRecord, now: datetime) -> Step:
    worker = view.workers.get(run.worker_id)
    name = f"{worker.host}:{worker.pid}" if worker else f"…{str(run.worker_id)[-8:]}, which is gone"
    where = f"backend {run.backend}, worker {name}"
    if run.outcome is None:
        title = f"Attempt {run.number} runs"
        return Step("run", "player-play", title, run.started_at, now, where, run.number, True)
    outcome = AttemptOutcome(run.outcome)
    note = " ".join(each for each in (NOTES.get(outcome, ""), where) if each)
    return Step(
        kind=outcome.value,
        icon=ICONS.get(outcome, "alert-triangle"),
        title=f"Attempt {run.number} {OUTCOMES[outcome]}",
        at=run.started_at,
        end=run.finished_at,
        note=note,
        attempt=run.number,
    )


def _rest(job: JobRecord, runs: Sequence[AttemptRecord], now: datetime) -> Iterator[Step]:
    """What comes after the last attempt: a wait, or the end."""
    status, reason = JobStatus(job.status), job.reason or ""
    last = runs[-1].finished_at if runs else None
    if job.cancel_requested_at is not None and status is JobStatus.RUNNING:
        yield Step("moment", "ban", "Asked to stop", job.cancel_requested_at, note=reason)
    elif status is JobStatus.SCHEDULED and job.run_after is not None:
        title = "Waits to be tried again" if runs else "Scheduled for later"
        due = max(job.run_after, last or job.created_at)
        yield Step("wait", "clock", title, last or job.created_at, due, reason, is_open=True)
        yield Step("moment", "calendar-due", "Due", due)
    elif not status.is_final and status is not JobStatus.RUNNING:
        since = max(each for each in (job.created_at, job.run_after, last) if each)
        # A clock that is behind must not make a wait that ends before it began.
        end = max(now, since)
        yield Step("wait", "dots", "Waits in the queue", since, end, reason, is_open=True)
    elif job.finished_at is not None:
        icon = {"succeeded": "flag-check", "failed": "flag-x"}.get(status.value, "ban")
        yield Step("moment", icon, f"Finished: {status}", job.finished_at, note=reason)
