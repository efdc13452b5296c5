"""Ends the children of a prefork pool whose function keeps the GIL past its timeout.

In such a process nothing gets its turn, neither the event loop nor the handler of a signal. So the
parent stops the child, writes the end that the child cannot write, and kills it.
"""

import asyncio
import logging
import os
import signal
import threading
import time

from fastapi_jobs.attempts import Attempts
from fastapi_jobs.backends.deadlines import Deadline, Deadlines
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.conf import Settings
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.runner import Report, timed_out_report
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.rows import Claimed

logger = logging.getLogger("fastapi_jobs.celery")

LOOK_SECONDS = 0.5

WRITE_SECONDS = 5.0
"""How long the child stays stopped while its job's end is written. It may be in the midst of a
transaction, for which SQLite lets everybody wait: what is not written by then follows its death.
"""

FORK_SECONDS = 30.0
"""How long a new child waits for the writing of an end at the most."""

CAN_WAIT = hasattr(os, "waitid")
"""Not on macOS before Python 3.13."""


class _NoFork:
    """`with` it, this process has no children: a fork in the midst of another thread's work with
    the database would leave the child a lock that nobody opens.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_ours = False

    def keep(self) -> None:
        """From now on, for the life of the process."""
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._after
        )

    def _before(self) -> None:
        self._is_ours = self._lock.acquire(timeout=FORK_SECONDS)

    def _after(self) -> None:
        if self._is_ours:
            self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Overdue:
    """The thread of the parent that looks at its children's deadlines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._no_fork = _NoFork()
        self.deadlines = Deadlines()

    def start(self) -> None:
        """Look from now on, as long as this process lives."""
        if CAN_WAIT:
            self._no_fork.keep()
            threading.Thread(target=self._work, name="fastapi-jobs-overdue", daemon=True).start()

    def _work(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            for each in self.deadlines.passed():
                try:
                    self.end(each)
                except Exception:
                    logger.exception("process %d is past its deadline and lives on", each.pid)

    def end(self, deadline: Deadline) -> None:
        """Kill the child of a deadline that is over, and write the end of its job."""
        if not _stop(deadline.pid):
            return
        # It may have let go of the GIL just now, and run another job.
        if not self.deadlines.stands(deadline):
            os.kill(deadline.pid, signal.SIGCONT)
            return
        logger.error(
            "job %s is past its timeout and keeps process %d from ending it; it is killed",
            *(deadline.job_id, deadline.pid),
        )
        writing = threading.Thread(target=self._record, args=(deadline,), daemon=True)
        writing.start()
        writing.join(WRITE_SECONDS)
        os.kill(deadline.pid, signal.SIGKILL)
        writing.join(WRITE_SECONDS)

    def _record(self, deadline: Deadline) -> None:
        with self._no_fork:
            runtime = Runtime(self._settings, dispatch=False)
            try:
                runtime.open()
                asyncio.run(_time_out(runtime, deadline))
            except Exception as error:
                # The job is then taken from a dead worker, as after any death of its process.
                logger.error("the end of job %s is not written: %s", deadline.job_id, error)
            finally:
                runtime.close()


def _stop(pid: int) -> bool:
    """Stop a child and return when it stands still; False when it is dead, or none of ours."""
    try:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        os.kill(pid, signal.SIGSTOP)
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
    except (ChildProcessError, ProcessLookupError):
        return False
    return found is not None and found.si_code == os.CLD_STOPPED


async def _time_out(runtime: Runtime, deadline: Deadline) -> None:
    """Write that the attempt timed out, unless its end is written already."""
    job = await runtime.store.read(queries.get_job, deadline.job_id)
    if job is None or (job.status, job.fence) != (JobStatus.RUNNING, deadline.fence):
        return
    attempts = Attempts(runtime.store, runtime.settings, runtime.observers)
    call = attempts.call_of(_claimed(job), registry.find(job.task))
    is_cancelled = job.cancel_requested_at is not None
    report = Report(AttemptOutcome.CANCELLED) if is_cancelled else timed_out_report(call)
    await attempts.conclude(call, report)


def _claimed(job: JobRecord) -> Claimed:
    assert job.started_at is not None
    return Claimed(
        id=job.id,
        task=job.task,
        queue=job.queue,
        backend=CELERY,
        args=job.args,
        attempt=job.attempt,
        fence=job.fence,
        failures=job.failures,
        crashes=job.crashes,
        suspect=bool(job.suspect),
        priority=job.priority,
        created_at=job.created_at,
        started_at=job.started_at,
        owner=job.owner,
        meta=job.meta,
    )
