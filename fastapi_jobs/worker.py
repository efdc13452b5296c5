"""This process as a worker: its row, its heartbeat, and what it does for others (law 5).

The heartbeat comes from a thread with a connection of its own, so that neither a busy event loop
nor a long batch looks like death.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from uuid import UUID

from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.conf import Settings
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.process_identity import is_dead, this_process
from fastapi_jobs.registry import registry
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import Store
from fastapi_jobs.store.audit import PruneAudit
from fastapi_jobs.store.finish import ReleaseJobs
from fastapi_jobs.store.moves import Prune, PruneIdempotency
from fastapi_jobs.store.rescue import CrashRules, Rescued, RescueOrphans, RescueWorker
from fastapi_jobs.store.workers import Beaten, Pulse, RegisterWorker, Seen, UnregisterWorker

logger = logging.getLogger("fastapi_jobs.worker")

PRUNE_SECONDS = 60.0
PRUNE_BATCHES = 20
"""Batches of 500 in one round: history shrinks by 10,000 jobs a minute at the most."""


@dataclass(slots=True)
class _Observed:
    beat: int
    since: float


class Observation:
    """What this process has seen of the other workers, on its own monotonic clock alone.

    A worker is dead when its beat stood still for `lease` seconds during which this process could
    look, at least every `lease / 2` seconds; after a gap it starts counting anew.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._seen: dict[UUID, _Observed] = {}
        self._looked_at: float | None = None

    def forget(self) -> None:
        """This process could not look: nothing it knew counts any more."""
        self._seen.clear()
        self._looked_at = None

    def look(self, others: Sequence[Seen], now: float) -> list[Seen]:
        """Note what is there now; returns those that are dead."""
        if self._looked_at is not None and now - self._looked_at > self._lease / 2:
            self._seen.clear()
        self._looked_at = now
        dead = []
        for other in others:
            known = self._seen.get(other.id)
            if known is None or known.beat != other.beat:
                self._seen[other.id] = _Observed(other.beat, now)
            elif now - known.since >= self._lease:
                dead.append(other)
        present = {other.id for other in others}
        self._seen = {key: value for key, value in self._seen.items() if key in present}
        return dead


def worker_record(slots: Mapping[str, int], queues: Sequence[str] = ()) -> WorkerRecord:
    """The row of this process under a new id; `slots` says how many jobs each backend runs."""
    identity, now = this_process(), utc_now()
    return WorkerRecord(
        id=uuid7(),
        host=identity.host,
        machine=identity.machine,
        pid=identity.pid,
        pid_started=identity.pid_started,
        backends=json.dumps(list(slots)),
        slots=json.dumps(dict(slots)),
        queues=json.dumps(list(queues)),
        tasks=json.dumps(sorted(registry)),
        version=version("fastapi-jobs"),
        started_at=now,
        heartbeat_at=now,
    )


class Worker:
    """Registers this process, beats, rescues the jobs of dead workers, prunes old history."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        slots: Mapping[str, int],
        isolated: frozenset[str],
        held: Callable[[], Mapping[UUID, int] | None],
        on_lost: Callable[[], None],
        on_work: Callable[[], None],
        queues: Sequence[str] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._settings, self._now = store, settings, now
        self._slots, self._queues = dict(slots), list(queues)
        self._held, self._on_lost, self._on_work = held, on_lost, on_work
        self._rules = CrashRules(settings.max_crashes, isolated, self._fails_on_crash)
        self._pulse = Pulse(store.database)
        self._observation = Observation(settings.lease_seconds)
        self._suspicious: frozenset[tuple[UUID, int]] = frozenset()
        self._stop = threading.Event()
        self._beaten_at = time.monotonic()
        self._pruned_at = time.monotonic()
        self._is_quiet = False
        self.id: UUID | None = None
        """None while this process must not claim."""
        self._thread: threading.Thread | None = None

    def _fails_on_crash(self, task: str) -> bool:
        definition = registry.get(task)
        option = None if definition is None else definition.options.on_crash
        return (option or self._settings.on_crash) == "fail"

    @property
    def lease_is_fresh(self) -> bool:
        """Whether a beat succeeded so lately that nobody can think this worker dead."""
        return time.monotonic() - self._beaten_at < self._settings.lease_seconds / 2

    def start(self) -> None:
        """Register, rescue what certainly needs it, and start to beat.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        self._register()
        self._rescue_the_certainly_dead(self._pulse.others(self._require_id()))
        self._thread = threading.Thread(
            target=self._work, name="fastapi-jobs-heartbeat", daemon=True
        )
        self._thread.start()

    def _require_id(self) -> UUID:
        assert self.id is not None
        return self.id

    def _register(self) -> None:
        record = worker_record(self._slots, self._queues)
        record.quiet = self._is_quiet  # who was taken for dead is not to claim again by that
        self._store.write_sync(RegisterWorker(record))
        self._beaten_at = time.monotonic()
        self.id = record.id

    def _work(self) -> None:
        while not self._stop.wait(self._settings.heartbeat_seconds):
            try:
                self._beat()
            except Exception as error:
                # An outage: whoever could not look must not judge others by what it missed.
                logger.debug("no heartbeat: %s", error)
                self._observation.forget()
                self._pulse.close()

    def _beat(self) -> None:
        worker = self.id
        if worker is None:
            self._register()
            self._on_work()
            return
        beaten = self._pulse.beat(worker, self._now(), len(self._held() or ()))
        if beaten is Beaten.GONE:
            self._lost(worker)
            return
        self._note_quiet(worker, beaten is Beaten.QUIET)
        self._beaten_at = time.monotonic()
        others = self._pulse.others(worker)
        self._rescue_the_certainly_dead(others)
        for other in self._observation.look(others, time.monotonic()):
            self._rescue(other, f"no heartbeat for {self._settings.lease_seconds:g} s")
        if self._pulse.has_orphans():
            rescued = self._store.write_sync(RescueOrphans(self._now(), self._rules))
            self._report(rescued)
        self._release_unheld(worker)
        if self._pulse.cancel_requests(worker):
            self._on_work()
        self._prune()

    def _note_quiet(self, worker: UUID, quiet: bool) -> None:
        if quiet != self._is_quiet:
            self._is_quiet = quiet
            said = "is quieted: it claims nothing more" if quiet else "claims again"
            logger.warning("worker %s %s", worker, said)

    def _lost(self, worker: UUID) -> None:
        logger.warning(
            "worker %s was taken for dead by another process (was this one stopped or starved for "
            "%g s?); what runs here is abandoned, and it registers anew",
            *(worker, self._settings.lease_seconds),
        )
        self.id = None
        self._observation.forget()
        self._on_lost()

    def _rescue_the_certainly_dead(self, others: Sequence[Seen]) -> None:
        for other in others:
            if is_dead(other.machine, other.pid, other.pid_started):
                self._rescue(other, "its process is gone")

    def _rescue(self, other: Seen, why: str) -> None:
        operation = RescueWorker(other.id, other.beat, self._now(), self._rules)
        rescued = self._store.write_sync(operation)
        if rescued is not None:
            logger.warning(
                "worker %s is dead (%s); %d of its jobs are rescued", other.id, why, len(rescued)
            )
            self._report(rescued)

    def _report(self, rescued: Sequence[Rescued]) -> None:
        for job in rescued:
            if job.status is JobStatus.FAILED:
                logger.error("job %s (%s) failed: it crashed its process", job.id, job.task)

    def _release_unheld(self, worker: UUID) -> None:
        """Give back what the database says is ours and this process does not hold.

        Twice in a row, for a claim or a finish may be under way between the two looks.
        """
        held = self._held()
        if held is None:  # a claim is under way: what it takes is not known here yet
            self._suspicious = frozenset()
            return
        owned = frozenset(self._pulse.owned(worker))
        unheld = frozenset(pair for pair in owned if held.get(pair[0]) != pair[1])
        stale, self._suspicious = unheld & self._suspicious, unheld
        if stale:
            logger.warning("%d jobs belong to this worker but do not run here", len(stale))
            reason = "its worker did not hold it"
            self._store.write_sync(
                ReleaseJobs(list(stale), self._now(), called=False, reason=reason)
            )

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at < PRUNE_SECONDS:
            return
        self._pruned_at = time.monotonic()
        kept: Mapping[JobStatus, timedelta | None] = {
            JobStatus.SUCCEEDED: self._settings.retention.succeeded,
            JobStatus.FAILED: self._settings.retention.failed,
            JobStatus.CANCELLED: self._settings.retention.cancelled,
        }
        for status, age in kept.items():
            if age is not None:
                self._prune_all(Prune(status, self._now() - age))
        if self._settings.retention.audit is not None:
            self._prune_all(PruneAudit(self._now() - self._settings.retention.audit))
        self._store.write_sync(PruneIdempotency(self._now()))

    def _prune_all(self, batch: Prune | PruneAudit) -> None:
        for _ in range(PRUNE_BATCHES):
            if not self._store.write_sync(batch):
                return

    def stop(self) -> None:
        """End the heartbeat and remove the row, unless jobs are left that others must rescue."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        worker, self.id = self.id, None
        if worker is not None:
            self._store.write_sync(UnregisterWorker(worker))
        self._pulse.close()
