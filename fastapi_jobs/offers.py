"""The fast path: slots kept for jobs whose insert is at once their claim."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.slots import Slots
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.rows import Inserted, NewJob


@dataclass(slots=True, eq=False)
class Offer:
    """A slot that is kept for one job until its insert is over.

    It hears of the commit before the caller of the insert does, who may go away meanwhile: what the
    commit claimed must be run.
    """

    offers: "Offers"
    job: NewJob
    definition: TaskDefinition
    backend: str
    worker: UUID
    """Who claims the job by the insert."""

    def done(self) -> bool:
        """Whether it is over; the writer says so once only."""
        return False

    def set_result(self, inserted: list[Inserted]) -> None:
        """It is committed."""
        if inserted[0].status is JobStatus.RUNNING:
            self.offers.start(self)
        else:
            self.offers.withdraw(self)

    def set_exception(self, error: Exception) -> None:
        """It was refused or failed."""
        self.offers.withdraw(self)


class Offers:
    """The open offers of one event loop, on which everything here runs but for `held`.

    `start` launches the job of an offer, `withdrawn` hears of a slot that was not needed.
    """

    def __init__(
        self, slots: Slots, *, start: Callable[[Offer], None], withdrawn: Callable[[], None]
    ) -> None:
        self._slots, self._start, self._withdrawn = slots, start, withdrawn
        self._open: set[Offer] = set()
        self._closed = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._open)

    def make(
        self, job: NewJob, definition: TaskDefinition, backend: str, worker: UUID
    ) -> Offer | None:
        """Keep a slot for a job that is about to be inserted; None when there is none."""
        if not self._slots.take(backend):
            return None
        offer = Offer(self, job, definition, backend, worker)
        self._open.add(offer)
        return offer

    def start(self, offer: Offer) -> None:
        """Start the job: the commit claimed it."""
        self._start(offer)
        self._close(offer)

    def withdraw(self, offer: Offer) -> None:
        """Give the slot back: the job was not stored, or waits."""
        self._close(offer)
        self._slots.give(offer.backend)
        self._withdrawn()

    def _close(self, offer: Offer) -> None:
        self._open.discard(offer)
        self._closed.set()

    def held(self) -> dict[UUID, int]:
        """Id and fence of every job that may be claimed by its insert; from any thread."""
        return dict.fromkeys([offer.job.id for offer in self._open.copy()], 1)

    async def settle(self) -> None:
        """Wait until none is open."""
        while self._open:
            self._closed.clear()
            await self._closed.wait()
