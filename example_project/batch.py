"""The first batch of the demo: enqueue a few jobs of each task, and follow them to their end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from example_project import samples
from example_project.main import jobs
from example_project.people import GUEST
from example_project.tasks import deliver_webhook, make_thumbnails, write_sales_report
from example_project.tasks.pictures import SIZES
from fastapi_jobs import Job, JobFilter, JobStatus

LOOK_SECONDS = 0.1
ORDERS = 60_000
UNFINISHED = (JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass
class Batch:
    """Jobs that are followed together: new ones, and those that an earlier start left behind."""

    jobs: dict[UUID, Job[object]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, job: Job[object]) -> None:
        """Follow one more job; a duplicate is the job that is followed already."""
        self.jobs[job.id] = job

    @property
    def unfinished(self) -> list[Job[object]]:
        """Those that have not ended yet."""
        return [job for job in self.jobs.values() if not job.status.is_final]

    def count(self, status: JobStatus) -> int:
        """How many stand there."""
        return sum(job.status is status for job in self.jobs.values())

    @property
    def repeated(self) -> int:
        """How many attempts were not the first of their job."""
        return sum(max(job.attempt - 1, 0) for job in self.jobs.values())

    @property
    def seconds(self) -> float:
        """How long the batch has been followed."""
        return time.monotonic() - self.started

    async def follow(self, show: Callable[[], None], wanted: Callable[[], bool]) -> None:
        """Look at the jobs until all have ended, or until it is not `wanted` any more."""
        while wanted():
            for job in self.unfinished:
                self.add(await job.refresh())
            show()
            if not self.unfinished:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def left_behind() -> Batch:
    """The jobs that an earlier start did not finish."""
    batch, cursor = Batch(), None
    while True:
        page, cursor = await jobs.list(JobFilter(statuses=UNFINISHED), limit=200, cursor=cursor)
        for job in page:
            batch.add(job)
        if cursor is None:
            return batch


async def enqueue_batch(batch: Batch, count: int, receiver: str) -> None:
    """Add `count` new jobs, a few of each task in turn."""
    for number in range(count):
        nth = number // 3
        match number % 3:
            case 0:
                path = await asyncio.to_thread(samples.draw_picture, nth % 12)
                batch.add(await make_thumbnails.using(owner=GUEST).enqueue(str(path), SIZES))
            case 1:
                batch.add(
                    await deliver_webhook.using(owner=GUEST).enqueue(receiver, samples.order(nth))
                )
            case _:
                batch.add(
                    await write_sales_report.using(owner=GUEST).enqueue(samples.month(nth), ORDERS)
                )
