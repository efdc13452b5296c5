"""Every attempt that is under way on one event loop, each holding the slot of its function."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from fastapi_jobs.attempts import Attempts
from fastapi_jobs.backends.base import Backend
from fastapi_jobs.errors import StoreUnavailable
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.runner import Call
from fastapi_jobs.slots import Slots
from fastapi_jobs.store.rows import Claimed

logger = logging.getLogger("fastapi_jobs.dispatcher")


class Calls:
    """All methods run on the event loop on which it was made, but for `held`.

    `vacated` hears of each slot that comes free, with its backend; `emptied`, that nothing is under
    way any more.
    """

    def __init__(
        self,
        attempts: Attempts,
        backends: Mapping[str, Backend],
        slots: Slots,
        *,
        vacated: Callable[[str], None],
        emptied: Callable[[], None],
    ) -> None:
        self._attempts, self._backends, self._slots = attempts, backends, slots
        self._vacated, self._emptied = vacated, emptied
        self._tasks: dict[Call, asyncio.Task[None]] = {}
        self._freed: dict[Call, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        # Jobs see the context in which the app was started, not that of whoever enqueued.
        self._context = contextvars.copy_context()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._tasks))

    def held(self) -> dict[UUID, int]:
        """Id and fence of the job of each; from any thread."""
        return {call.claimed.id: call.claimed.fence for call in self}

    def find(self, job_id: UUID) -> Call | None:
        """The newest call of a job: one that was taken from this process may be back."""
        mine = [call for call in self if call.claimed.id == job_id]
        return mine[-1] if mine else None

    # From its launch to its end.

    def launch(self, claimed: Claimed, definition: TaskDefinition) -> Call:
        """Run a claimed job whose slot is taken already."""
        call = self._attempts.call_of(claimed, definition)
        self._tasks[call] = self._loop.create_task(self._run(call), context=self._context.copy())
        return call

    async def _run(self, call: Call) -> None:
        claimed = call.claimed
        try:
            backend = self._backends[claimed.backend]
            await self._attempts.carry_out(call, backend, self._vacate)
        except StoreUnavailable as error:
            logger.error("the end of job %s could not be stored: %s", claimed.id, error)
        except Exception:
            logger.exception("the end of job %s (%s) could not be stored", claimed.id, claimed.task)
        finally:
            del self._tasks[call]
            self._vacate(call)
            if not self._tasks:
                self._emptied()

    def _vacate(self, call: Call) -> None:
        # The slot is the function's, not its bookkeeping's: the next job starts meanwhile.
        if not call.occupies:
            return
        call.occupies = False
        freed = self._freed.pop(call, None)
        if freed is not None and not freed.done():
            freed.set_result(None)
        self._slots.give(call.claimed.backend)
        self._vacated(call.claimed.backend)

    async def freed(self, call: Call) -> None:
        """Wait until the function of a call that was just launched is over: its end is next."""
        if call.occupies:
            freed = self._freed[call] = self._loop.create_future()
            await freed

    async def over(self, call: Call) -> None:
        """Wait until the end of a call is written."""
        task = self._tasks.get(call)
        if task is not None:
            await asyncio.wait({task})

    # Stopping.

    async def drain(self, at_once: asyncio.Event, seconds: float) -> None:
        """Wait until all have ended, for so long, or until `at_once` is set."""
        if not self._tasks:
            return
        hurry = self._loop.create_task(at_once.wait())
        drained = self._loop.create_task(asyncio.wait(self._tasks.values()))
        await asyncio.wait({hurry, drained}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        drained.cancel()

    def release(self) -> None:
        """Stop what can be stopped; of what is stopped so, no attempt is charged."""
        for call in self:
            self._backends[call.claimed.backend].release(call)

    async def settle(self, seconds: float) -> None:
        """Wait for the ends of those that were released, but not for what cannot be stopped."""
        ending = [task for call, task in self._tasks.items() if self._ends_soon(call)]
        if ending:
            await asyncio.wait(ending, timeout=seconds)

    def _ends_soon(self, call: Call) -> bool:
        """Whether a released call can be stopped, or has only its end to write."""
        backend = self._backends[call.claimed.backend]
        stops = backend.stops_async if call.definition.is_async else backend.stops_sync
        return stops or not call.occupies

    def forget(self) -> None:
        """Write no ends any more: the jobs are others' now."""
        for task in list(self._tasks.values()):
            task.cancel()
