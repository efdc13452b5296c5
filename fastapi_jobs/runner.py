"""One attempt: begin, call, finish. This file holds the call and the judgement of its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from fastapi_jobs.context import JobContext, Sink, enter, leave
from fastapi_jobs.errors import (
    CancelJob,
    GiveUp,
    InvalidArguments,
    JobCancelled,
    NotSerializable,
    PayloadTooLarge,
    RetryLater,
    Snooze,
)
from fastapi_jobs.failpoints import reach
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.retry import Retry
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store.rescue import crash_error
from fastapi_jobs.store.rows import Claimed, Finish
from fastapi_jobs.wording import cut, error_text, error_type, text_of, traceback_text


@dataclass(frozen=True, slots=True)
class Caps:
    """How large what a task leaves behind may be, in bytes."""

    result: int
    error: int


@dataclass(slots=True, eq=False)
class Call:
    """A claimed job on its way through a backend."""

    claimed: Claimed
    definition: TaskDefinition
    sink: Sink
    caps: Caps
    retry: Retry
    timeout: float | None = None
    """Seconds that the function may run."""
    cancel_requested: bool = False
    overdue: bool = False
    """True once the timeout of a function that cannot be stopped has passed."""
    released: bool = False
    """True once this process stops: a call that is cut short goes back uncharged."""
    occupies: bool = True
    """Whether its slot is still taken: it is the function's, not its bookkeeping's."""
    task: "asyncio.Task[Any] | None" = None
    loop: asyncio.AbstractEventLoop | None = None
    """The asyncio task that is to be cancelled to stop this call, and its loop."""
    in_call: bool = False
    """True while `task` may be cancelled."""

    @property
    def must_stop(self) -> bool:
        """Whether the task should end by itself: it was asked to, or its time is over."""
        return self.cancel_requested or self.overdue

    def mark_overdue(self) -> None:
        """Its timeout has passed and it cannot be stopped: tell the task and the record."""
        self.overdue = True
        self.sink.mark(f"past its timeout of {self.timeout:g} s; a thread cannot be stopped")

    def interrupt(self) -> None:
        """Cancel the call where it awaits; safe from any thread, and when it is over already."""
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._interrupt)

    def _interrupt(self) -> None:
        if self.in_call and self.task is not None:
            self.task.cancel()


@dataclass(slots=True)
class Report:
    """How the function ended; plain values, so that it can come from another process."""

    outcome: AttemptOutcome
    result: str | None = None
    error_type: str | None = None
    error: str | None = None
    traceback: str | None = None
    retryable: bool = False
    after: float | None = None
    """Seconds that the task itself asked to wait."""
    reason: str | None = None


def prepare(call: Call) -> tuple[list[Any], dict[str, Any], JobContext]:
    """Arguments and context of the call.

    Raises:
        InvalidArguments: the stored arguments do not fit the function (any more).
    """
    claimed = call.claimed
    args, kwargs = call.definition.arguments.load(claimed.args)
    context = JobContext.attached(
        claimed.id,
        task=claimed.task,
        queue=claimed.queue,
        attempt=claimed.attempt,
        metadata=from_json(claimed.meta) if claimed.meta else {},
        sink=call.sink,
        call=call,
    )
    for name in call.definition.injected:
        kwargs[name] = context
    return args, kwargs, context


async def call_async(call: Call, loop: asyncio.AbstractEventLoop | None = None) -> Report:
    """Await an `async def` task here; never raises, whatever the task does.

    Whoever knows the running loop gives it: to ask for it is a call of the kernel before 3.12.
    """
    token = None
    loop = call.loop = loop or asyncio.get_running_loop()
    task = call.task = asyncio.current_task(loop)
    timer = asyncio.timeout(call.timeout) if call.timeout is not None else None
    try:
        args, kwargs, context = prepare(call)
        token = enter(context)
        reach("begin")
        call.in_call = True
        if call.cancel_requested or call.released:
            raise asyncio.CancelledError
        if timer is None:
            value = await call.definition.function(*args, **kwargs)
        else:
            async with timer:
                value = await call.definition.function(*args, **kwargs)
        call.in_call = False
        reach("return")
        return returned(call, value)
    except BaseException as error:
        call.in_call = False
        if task is not None and task.cancelling():
            task.uncancel()  # the attempt goes on: its end is still to be written
        timed_out = timer is not None and timer.expired()
        return raised(call, error, timed_out=timed_out)
    finally:
        if token is not None:
            leave(token)


def call_sync(call: Call, function: Callable[..., Any] | None = None) -> Report:
    """Call a `def` task in this thread; never raises, whatever the task does."""
    token = None
    try:
        args, kwargs, context = prepare(call)
        token = enter(context)
        reach("begin")
        value = (function or call.definition.function)(*args, **kwargs)
        reach("return")
        return returned(call, value)
    except BaseException as error:
        return raised(call, error)
    finally:
        if token is not None:
            leave(token)


def returned(call: Call, value: Any) -> Report:
    """The report of a function that came back."""
    definition = call.definition
    result = None
    if definition.options.store_result:
        result = definition.result.dump(value)
        if len(result) > call.caps.result:
            raise PayloadTooLarge(definition.name, "result", len(result), call.caps.result)
    return Report(AttemptOutcome.SUCCEEDED, result=result)


def raised(call: Call, error: BaseException, *, timed_out: bool = False) -> Report:
    """The report of a function that raised; never raises itself."""
    match error:
        case RetryLater():
            return Report(
                AttemptOutcome.RETRY_LATER,
                reason=_words(error.reason, call),
                after=error.after,
                error=error_text(error, call.caps.error),
                retryable=True,
            )
        case Snooze():
            return Report(AttemptOutcome.SNOOZED, after=error.seconds, reason=_words(error, call))
        case CancelJob():
            return Report(AttemptOutcome.CANCELLED, reason=_words(error, call))
        case JobCancelled() if error.job_id == call.claimed.id:
            if call.overdue and not call.cancel_requested:
                return timed_out_report(call)
            return Report(AttemptOutcome.CANCELLED, reason=_words(error.reason, call))
    if isinstance(error, asyncio.CancelledError):
        if call.cancel_requested:
            return Report(AttemptOutcome.CANCELLED)
        if call.released:
            return Report(AttemptOutcome.RELEASED)
    report = _failed(call, error)
    if timed_out:
        return timed_out_report(call)
    if isinstance(error, InvalidArguments | NotSerializable | PayloadTooLarge | GiveUp):
        # What is wrong with arguments, results or sizes is as wrong at the next attempt.
        report.retryable = False
    if isinstance(error, GiveUp):
        report.reason = _words(error.reason, call)
    return report


def _words(reason: object, call: Call) -> str | None:
    """What a task gave as its reason, as text that every database and pipe takes."""
    text = "" if reason is None else text_of(reason)
    return cut(text, call.caps.error) or None


def _failed(call: Call, error: BaseException) -> Report:
    try:
        retryable = call.retry.covers(error)
    except BaseException:  # a rule of the task's own: what it raises must not end the worker
        retryable = False
    return Report(
        AttemptOutcome.FAILED,
        error_type=cut(error_type(error), 200),
        error=error_text(error, call.caps.error),
        traceback=traceback_text(error, call.caps.error * 4),
        retryable=retryable,
    )


def timed_out_report(call: Call) -> Report:
    """The report of a function that was stopped at its timeout; it counts as a failure."""
    text = f"Timed out after {call.timeout:g} s."
    return Report(AttemptOutcome.TIMED_OUT, error_type="TimeoutError", error=text, retryable=True)


@dataclass(frozen=True, slots=True)
class CrashPolicy:
    """What a job's certain crash leads to."""

    max_crashes: int
    on_crash: str


def judge(call: Call, report: Report, now: datetime, crashes: CrashPolicy) -> Finish:
    """What the job becomes by this report."""
    claimed = call.claimed
    finish = Finish(
        id=claimed.id,
        attempt=claimed.attempt,
        fence=claimed.fence,
        status=JobStatus.FAILED,
        outcome=report.outcome,
        at=now,
        result=report.result,
        error_type=report.error_type,
        error=report.error,
        traceback=report.traceback,
        reason=report.reason,
    )
    match report.outcome:
        case AttemptOutcome.SUCCEEDED:
            finish.status = JobStatus.SUCCEEDED
        case AttemptOutcome.CANCELLED:
            finish.status = JobStatus.CANCELLED
        case AttemptOutcome.SNOOZED:
            finish.status = JobStatus.SCHEDULED
            finish.run_after = _later(now, report.after or 0.0)
        case AttemptOutcome.CRASHED:
            _judge_crash(claimed, finish, crashes)
        case _:
            _judge_failure(call, report, finish)
    return finish


def _judge_failure(call: Call, report: Report, finish: Finish) -> None:
    finish.counts_as_failure = True
    used = call.claimed.failures
    if report.retryable and used < call.retry.max:
        wait = call.retry.wait(used + 1) if report.after is None else report.after
        finish.status = JobStatus.SCHEDULED
        finish.run_after = _later(finish.at, wait)
        finish.reason = report.reason or f"retry {used + 1} of {call.retry.max}"


def _later(now: datetime, seconds: float) -> datetime:
    """So many seconds later; past the end of the calendar, its last moment."""
    try:
        return now + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return datetime.max.replace(tzinfo=UTC)


def _judge_crash(claimed: Claimed, finish: Finish, policy: CrashPolicy) -> None:
    finish.counts_as_crash = True
    crashes = claimed.crashes + 1
    fails_at_once = policy.on_crash == "fail"
    if fails_at_once or crashes >= policy.max_crashes:
        died = finish.error
        finish.error = crash_error(crashes, policy.max_crashes, fails_at_once)
        finish.error += f" {died}" if died else ""
    else:
        finish.status = JobStatus.QUEUED
        finish.reason = "its process died while it ran"
