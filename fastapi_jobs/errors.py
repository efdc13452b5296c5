"""Everything this package raises, drawn as a tree. Errors take values and build their sentence.

FastAPIJobsError
├── SettingsError          the settings, all their problems at once
├── NoCurrentApp           which FastAPIJobs? none, or several and none chosen
├── TaskError
│   ├── TaskDefinitionError    a @task that cannot work
│   ├── DuplicateTask          two tasks of one name
│   └── UnknownTask            no task of that name here
├── EnqueueError           nothing was stored
│   ├── InvalidArguments       arguments the task does not take, or that would not come back equal
│   ├── InvalidOption          an option of using(...)
│   ├── PayloadTooLarge
│   ├── QueueFull
│   ├── DuplicateJob           unique, on_conflict="reject"
│   ├── IdempotencyConflict    the key was used with another body
│   ├── ForeignSession         a session on another database
│   └── SyncOnLoop             a blocking call on a running event loop
├── JobNotFound
├── WorkerNotFound
├── IllegalMove            the job's status forbids it
├── JobChanged             the job is not any more what the caller saw
├── InvalidCursor
├── InvalidQuery           a condition or limit of a list that cannot be
├── ResultError
│   ├── JobFailed
│   ├── JobCancelled
│   ├── NotSerializable        a result that would not come back equal
│   └── WaitTimeout
└── StoreError
    ├── StoreUnavailable       the database is away, locked or full
    ├── NotMigrated            the tables are missing or old
    └── DriverMissing          the Python package for this database is not installed

Outcome (a BaseException)  what a task may raise to decide its own end
├── RetryLater · GiveUp · CancelJob · Snooze
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from uuid import UUID


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """The sentence's tail that names the nearest valid value, or nothing."""
    near = get_close_matches(value, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


class FastAPIJobsError(Exception):
    """Base of every error of this package."""


@dataclass(frozen=True)
class SettingsProblem:
    """One thing wrong in the settings: the key, where its value came from, the rule it breaks."""

    key: str
    origin: str
    value: str
    rule: str
    cure: str = ""

    def __str__(self) -> str:
        shown = f"{self.key} = {self.value}" if self.value else self.key
        cure = f" {self.cure.strip()}" if self.cure else ""
        return f"{shown} ({self.origin}): {self.rule}{cure}"


class SettingsError(FastAPIJobsError):
    """The settings cannot be used; `problems` holds every reason, not only the first."""

    def __init__(self, problems: Sequence[SettingsProblem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n  ".join([f"{head} in the settings:", *map(str, self.problems)]))


class NoCurrentApp(FastAPIJobsError):
    """It is not decided which FastAPIJobs is meant."""

    def __init__(self, names: Sequence[str]) -> None:
        if names:
            text = (
                f"Several FastAPIJobs exist ({', '.join(names)}) and none is current here. "
                "Choose one: task.using(app=jobs).enqueue(...)."
            )
        else:
            text = "There is no FastAPIJobs yet. Create one: jobs = FastAPIJobs()."
        super().__init__(text)


class TaskError(FastAPIJobsError):
    """Base of what concerns a task's definition or name."""


class TaskDefinitionError(TaskError):
    """A `@task` that cannot work; raised at import."""

    def __init__(self, task: str, option: str, problem: str) -> None:
        self.task, self.option = task, option
        where = f"task {task!r}, {option}" if option else f"task {task!r}"
        super().__init__(f"{where}: {problem}")


class DuplicateTask(TaskError):
    """Two functions claim one task name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(
            f"Two tasks are named {name!r}: {first} and {second}. "
            "Rename a function, or give one its own name: @task(name=...)."
        )


class UnknownTask(TaskError):
    """No task of this name is registered in this process."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        hint = did_you_mean(name, names)
        super().__init__(
            f"No task is named {name!r} here; {len(names)} are registered.{hint} "
            "Tasks are found when their module is imported: see task_modules in settings.toml."
        )


class EnqueueError(FastAPIJobsError):
    """Base of the refusals of `enqueue`: nothing was stored."""


class InvalidArguments(EnqueueError):
    """Arguments that the task does not take, or that would not come back as they are."""

    def __init__(self, task: str, problems: Sequence[str]) -> None:
        self.task, self.problems = task, list(problems)
        super().__init__(f"Arguments of task {task!r}: " + "; ".join(self.problems))


class InvalidOption(EnqueueError):
    """An option whose value breaks its rule."""

    def __init__(self, option: str, value: object, rule: str) -> None:
        self.option = option
        super().__init__(f"{option}={value!r}: {rule}")


class PayloadTooLarge(EnqueueError):
    """Arguments or a result above `max_payload`."""

    def __init__(self, task: str, what: str, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(
            f"The {what} of task {task!r} take {size:,} bytes; max_payload is {limit:,}. "
            "Store the data elsewhere and pass its key, or raise max_payload."
        )


class QueueFull(EnqueueError):
    """The queue holds `max_queued` waiting jobs already."""

    def __init__(self, queue: str, limit: int, retry_after: float = 1.0) -> None:
        self.queue, self.limit, self.retry_after = queue, limit, retry_after
        super().__init__(
            f"Queue {queue!r} holds max_queued = {limit:,} waiting jobs; nothing was stored. "
            f"Try again in {retry_after:g} s, add workers, or raise max_queued."
        )


class DuplicateJob(EnqueueError):
    """A unique key that another job holds, with `on_conflict="reject"`."""

    def __init__(self, task: str, holder: UUID) -> None:
        self.holder = holder
        super().__init__(f"Job {holder} of task {task!r} holds the same unique key already.")


class IdempotencyConflict(EnqueueError):
    """An idempotency key that came with another request body before."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key {key!r} was used with another body. Use a new key for a new request."
        )


class ForeignSession(EnqueueError):
    """A host session that is bound to another database than the jobs."""

    def __init__(self, session_url: str, store_url: str) -> None:
        super().__init__(
            f"The session is on {session_url}, the jobs are in {store_url}: one transaction "
            "cannot span both. Use the same database_url, or enqueue without session=."
        )


class OpenTransaction(EnqueueError):
    """An enqueue without the session while this context's own transaction holds SQLite's lock."""

    def __init__(self) -> None:
        super().__init__(
            "A transaction that enqueued with using(session=...) is still open here and holds "
            "SQLite's only write lock, so this enqueue would wait for it for ever. "
            "Enqueue with the same session, or commit first."
        )


class SyncOnLoop(EnqueueError):
    """A blocking call where an event loop runs."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method}_sync() would block the running event loop. Use: await {method}()."
        )


class JobNotFound(FastAPIJobsError):
    """No job has this id (or it is not yours to see)."""

    def __init__(self, job_id: UUID | str) -> None:
        self.job_id = job_id
        super().__init__(f"There is no job {job_id}.")


class WorkerNotFound(FastAPIJobsError):
    """No worker has this id any more."""

    def __init__(self, worker: UUID) -> None:
        self.worker = worker
        super().__init__(f"There is no worker {worker}: it has stopped, or was taken for dead.")


class IllegalMove(FastAPIJobsError):
    """The job's status forbids what was asked; nothing changed."""

    def __init__(
        self,
        action: str,
        job_id: UUID,
        status: str,
        legal: Sequence[str],
        reason: str = "",
        holder: UUID | None = None,
    ) -> None:
        self.action, self.job_id, self.status, self.legal = action, job_id, status, list(legal)
        self.holder = holder
        allowed = f"Legal now: {', '.join(legal)}." if legal else "Nothing can be done to it now."
        because = f" {reason}" if reason else ""
        super().__init__(f"Cannot {action} job {job_id}: it is {status}.{because} {allowed}")


class JobChanged(FastAPIJobsError):
    """The job is not any more what the caller saw; nothing was changed."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        super().__init__(f"Job {job_id} has changed since you saw it. Look again, then decide.")


class InvalidCursor(FastAPIJobsError):
    """A list cursor that this service did not make."""

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"The cursor {cursor[:40]!r} is not one of ours. "
            "Take next_cursor of the page before, or leave it out for the first page."
        )


class InvalidQuery(FastAPIJobsError):
    """Something asked of a list that cannot be."""

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"{name}={value!r}: {rule}")


class ResultError(FastAPIJobsError):
    """Base of what stands in the way of a result."""


class JobFailed(ResultError):
    """The job whose result was asked for has failed."""

    def __init__(self, job_id: UUID, error: str) -> None:
        self.job_id, self.error = job_id, error
        super().__init__(f"Job {job_id} failed: {error}")


class JobCancelled(ResultError):
    """The job was cancelled; raised by `result()`, and inside a task by `raise_if_cancelled()`."""

    def __init__(self, job_id: UUID, reason: str = "") -> None:
        self.job_id, self.reason = job_id, reason
        super().__init__(f"Job {job_id} was cancelled" + (f": {reason}" if reason else "."))


class NotSerializable(ResultError):
    """A result that would not come back from JSON as it is."""

    def __init__(self, task: str, problem: str) -> None:
        super().__init__(
            f"The result of task {task!r} {problem} "
            "Annotate the return type, return JSON types, or set store_result=False."
        )


class WaitTimeout(ResultError, TimeoutError):
    """The job did not finish within the time given to `wait` or `result`, or until this process
    was asked to stop.
    """

    def __init__(self, job_id: UUID, seconds: float | None, status: str) -> None:
        when = "as this process stops" if seconds is None else f"after {seconds:g} s"
        super().__init__(f"Job {job_id} is still {status} {when}.")


class UncommittedJob(ResultError):
    """A wait for a job whose transaction is still open: it would never end."""

    def __init__(self, job_id: UUID) -> None:
        super().__init__(
            f"Job {job_id} is part of a transaction that is not committed: it runs, and can be "
            "waited for, only after the commit."
        )


class StoreError(FastAPIJobsError):
    """Base of database trouble."""


class StoreUnavailable(StoreError):
    """The database is away, locked or full. Nothing was promised; try again."""

    def __init__(self, database: str, reason: str, retry_after: float = 1.0) -> None:
        self.reason, self.retry_after = reason, retry_after
        super().__init__(f"The database {database} cannot be used now: {reason}")


class NotMigrated(StoreError):
    """The tables are missing or of another version."""

    def __init__(self, database: str, found: str | None, wanted: str) -> None:
        have = f"at revision {found}" if found else "without our tables"
        super().__init__(
            f"The database {database} is {have}; this version needs {wanted}. "
            "Run: fastapi-jobs migrate"
        )


class DriverMissing(StoreError):
    """The Python package that talks to this database is not installed, or not whole."""

    def __init__(self, database: str, package: str, problem: str = "") -> None:
        state = f"cannot be imported: {problem}" if problem else "is not installed"
        super().__init__(
            f"The database {database} needs the Python package {package!r}, which {state}. "
            'For PostgreSQL: pip install "fastapi-jobs[postgres]"'
        )


class Outcome(BaseException):
    """What a task raises to decide its own end; `except Exception` does not swallow it."""


class RetryLater(Outcome):
    """Try again after `after` (seconds or timedelta); counts as one of the retries."""

    def __init__(self, after: float | timedelta, reason: str = "") -> None:
        self.after = after.total_seconds() if isinstance(after, timedelta) else float(after)
        self.reason = reason
        super().__init__(reason or f"retry in {self.after:g} s")


class GiveUp(Outcome):
    """Fail now, whatever retries are left."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class CancelJob(Outcome):
    """End this job as cancelled."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason or "cancelled by the task")


class Snooze(Outcome):
    """Run again after `seconds`; counts neither as a failure nor as a retry."""

    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        super().__init__(f"snoozed for {self.seconds:g} s")
