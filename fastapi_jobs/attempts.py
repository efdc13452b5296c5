"""One attempt from its claim to its committed end: begin, call, finish."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.failpoints import reach
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.reports import Reports
from fastapi_jobs.retry import Retry
from fastapi_jobs.runner import Call, Caps, CrashPolicy, Report, judge, raised
from fastapi_jobs.signals import Event, EventKind, Observers
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.store.finish import BeginAttempt, FinishAttempt, ReleaseJobs
from fastapi_jobs.store.rows import Claimed, Finish, NewJob

logger = logging.getLogger("fastapi_jobs.dispatcher")

_KINDS = {
    JobStatus.SUCCEEDED: EventKind.SUCCEEDED,
    JobStatus.FAILED: EventKind.FAILED,
    JobStatus.CANCELLED: EventKind.CANCELLED,
    JobStatus.SCHEDULED: EventKind.RETRYING,
    JobStatus.QUEUED: EventKind.CRASHED,
}


def enqueued(job: NewJob) -> Event:
    """The event of a new job."""
    return Event(EventKind.ENQUEUED, job.id, job.task, job.queue, job.created_at)


@dataclass(slots=True)
class Attempts:
    """Carries out attempts; knows the store and the settings, nothing of slots or claims."""

    store: Store
    settings: Settings
    observers: Observers
    lease_is_fresh: Callable[[], bool] = lambda: True
    """Whether this worker has proved lately that it lives: then its claims need no second look."""
    now: Callable[[], datetime] = utc_now
    _caps: Caps = field(init=False)
    _retry: Retry = field(init=False)
    _crash_policies: dict[str | None, CrashPolicy] = field(init=False)
    """By what the task says of `on_crash`; None is a task that does not."""

    def __post_init__(self) -> None:
        settings = self.settings
        self._caps = Caps(result=settings.max_payload, error=settings.max_error_bytes)
        self._retry = Retry(max=settings.retries)
        self._crash_policies = {
            said: CrashPolicy(settings.max_crashes, said or settings.on_crash)
            for said in (None, "requeue", "fail")
        }

    def call_of(self, claimed: Claimed, definition: TaskDefinition) -> Call:
        """A claimed job, ready for its backend."""
        settings, options = self.settings, definition.options
        return Call(
            claimed=claimed,
            definition=definition,
            sink=Reports(claimed, self.store.send, max_lines=settings.max_log_lines),
            caps=self._caps,
            retry=options.retry or self._retry,
            timeout=settings.timeout if options.timeout is None else options.timeout,
        )

    async def carry_out(
        self, call: Call, backend: Backend, on_return: Callable[[Call], None] = lambda call: None
    ) -> JobStatus | None:
        """Begin, call, finish. Returns the job's new status, None when it was not ours any more.

        `on_return` is called when the function is over, before its end is written.
        """
        if not self.lease_is_fresh() and not await self._still_ours(call.claimed):
            return None
        if self.observers.listening:
            self._tell(call, EventKind.STARTED)
        try:
            report = await backend.submit(call)
        except Exception as error:
            # A backend of somebody else's that breaks its promise.
            logger.exception("backend %s failed on job %s", backend.name, call.claimed.id)
            report = raised(call, error)
        on_return(call)
        if isinstance(call.sink, Reports):
            call.sink.flush()
        if report.outcome is AttemptOutcome.RELEASED:
            return await self._release(call)
        finish = self._judge(call, report)
        status = await self.store.write(FinishAttempt(finish))
        reach("finish")
        self._announce(call, finish, status)
        return status

    async def _still_ours(self, claimed: Claimed) -> bool:
        return await self.store.write(BeginAttempt(claimed.id, claimed.fence))

    async def _release(self, call: Call) -> JobStatus:
        claimed = call.claimed
        await self.store.write(ReleaseJobs([(claimed.id, claimed.fence)], self.now()))
        self._tell(call, EventKind.RELEASED)
        return JobStatus.QUEUED

    def _judge(self, call: Call, report: Report) -> Finish:
        policy = self._crash_policies[call.definition.options.on_crash]
        return judge(call, report, max(self.now(), call.claimed.started_at), policy)

    def _announce(self, call: Call, finish: Finish, status: JobStatus | None) -> None:
        claimed = call.claimed
        if status is None:
            logger.warning(
                "job %s (%s) was taken from this worker; what its attempt %d returned is dropped",
                *(claimed.id, claimed.task, claimed.attempt),
            )
            return
        kind = _KINDS[status]
        if finish.outcome is AttemptOutcome.SNOOZED and status is JobStatus.SCHEDULED:
            kind = EventKind.SNOOZED
        if kind is EventKind.FAILED:
            logger.error("job %s (%s) failed: %s", claimed.id, claimed.task, finish.error)
        elif kind in (EventKind.RETRYING, EventKind.CRASHED):
            logger.warning(
                "job %s (%s) attempt %d ended: %s; %s",
                *(claimed.id, claimed.task, claimed.attempt, finish.error, finish.reason),
            )
        if self.observers.listening:
            self._tell(call, kind, finish)

    def tell_enqueued(self, job: NewJob) -> None:
        """Tell the observers of a new job."""
        if self.observers.listening:
            self.observers.tell(enqueued(job))

    def _tell(self, call: Call, kind: EventKind, finish: Finish | None = None) -> None:
        claimed = call.claimed
        at = self.now() if finish is None else finish.at
        self.observers.tell(
            Event(
                kind=kind,
                job_id=claimed.id,
                task=claimed.task,
                queue=claimed.queue,
                at=at,
                attempt=claimed.attempt,
                seconds=None if finish is None else (at - claimed.started_at).total_seconds(),
                error=None if finish is None else finish.error,
                reason=None if finish is None else finish.reason,
            )
        )
