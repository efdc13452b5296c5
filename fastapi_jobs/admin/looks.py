"""What the pages show of all jobs together: what stands where now, and what ended of late."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi_jobs.admin.shared import Shared
from fastapi_jobs.api.overview import known_names
from fastapi_jobs.checks import (
    Finding,
    Level,
    is_stale,
    judge_running,
    judge_troubles,
    judge_waits,
)
from fastapi_jobs.clock import utc_now
from fastapi_jobs.listing import EVERY_JOB
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import figures, probe, queries, stats
from fastapi_jobs.store.figures import RecentEnds
from fastapi_jobs.store.probe import Snapshot
from fastapi_jobs.store.stats import QueueCounts

RECENT = timedelta(hours=24)
LINES = timedelta(hours=1)
SAID = (Level.ERROR, Level.WARNING)
NO_WORKER = "no-worker"


@dataclass(frozen=True, slots=True)
class Now:
    """How it stands."""

    at: datetime
    counts: Mapping[JobStatus, int]
    queues: Mapping[str, QueueCounts]
    live: Sequence[WorkerRecord]
    findings: Sequence[Finding]
    """What needs a person, the worst first."""

    @property
    def oldest_due_at(self) -> datetime | None:
        """Since when the first of all due jobs has waited."""
        known = [each.oldest_due_at for each in self.queues.values()]
        return min((each for each in known if each is not None), default=None)


class Looks:
    """The looks of one site, each shared by its tabs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.now = Shared(self._look)
        self.recent = Shared(self._look_back)

    async def _look(self) -> Now:
        runtime, store, now = self._runtime, self._runtime.store, utc_now()
        counts = await store.read(queries.count_jobs, EVERY_JOB)
        names = {*known_names(runtime.settings), *await store.read(stats.queue_names)}
        queues = await store.read(stats.count_queues, names)
        seen = await store.read(probe.look_at_jobs)
        lease = runtime.settings.lease_seconds
        live = [each for each in seen.workers if not is_stale(each, now, lease)]
        return Now(now, counts, dict(sorted(queues.items())), live, self._judge(seen, queues, now))

    def _judge(
        self, seen: Snapshot, queues: Mapping[str, QueueCounts], now: datetime
    ) -> list[Finding]:
        runtime, settings = self._runtime, self._runtime.settings
        found = [
            *judge_troubles(runtime.store.trouble, runtime.broker_trouble, runtime.redis_trouble),
            *judge_running(settings, seen, now, is_sqlite=runtime.store.database.is_sqlite),
            *judge_waits(settings, seen.queues, queues, now),
        ]
        said = [each for each in found if each.level in SAID or each.code == NO_WORKER]
        return sorted(said, key=lambda each: each.level is not Level.ERROR)

    async def _look_back(self) -> RecentEnds:
        now, read = utc_now(), self._runtime.store.read
        return await read(figures.recent_ends, since=now - RECENT, lines_since=now - LINES)

    def forget(self) -> None:
        """Something was changed: what is shown next must show it."""
        self.now.forget()
