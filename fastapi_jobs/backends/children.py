"""A pool of child processes that can be killed. It carries bytes and knows nothing of jobs."""

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence

from fastapi_jobs.backends.child import Call, Child, ChildInfo, ChildPhase, ChildRule
from fastapi_jobs.backends.child_errors import ChildFailedToStart, ChildPoolStopped
from fastapi_jobs.channel import FrameKind, frame_head

logger = logging.getLogger("fastapi_jobs.children")

# After a failed start the next one waits 1, 2, 4 … 30 s: no endless respawning.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0


class ChildPool:
    """Up to `size` children, started when first needed and kept warm; each runs one call.

    `kill_grace` is the time in seconds between SIGTERM and SIGKILL (0: SIGKILL at once). After
    `max_calls` calls, or above `max_memory` bytes of resident memory, a child is replaced.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        size: int,
        hello: bytes,
        kill_grace: float = 0.0,
        max_calls: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        if size < 1:
            raise ValueError(f"size={size!r}: a pool needs at least 1 child process.")
        self._size, self._max_calls, self._max_memory = size, max_calls, max_memory
        self._rule = ChildRule(tuple(command), hello, kill_grace, self._on_free, self._on_gone)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: set[Child] = set()
        self._retired: set[Child] = set()
        self._idle: list[Child] = []
        self._waiting: deque[Call] = deque()
        self._pause = 0.0
        self._resume: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Open the pool on the running loop; children start at the first calls."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        if self._max_memory is not None and not can_measure():
            logger.warning(
                "max_memory needs /proc, which %s lacks: children are not replaced by memory. "
                "Use max_calls.",
                sys.platform,
            )

    async def stop(self) -> None:
        """Kill and reap every child; calls under way and waiting raise `ChildPoolStopped`."""
        self._loop = None
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._pause = 0.0
        while self._waiting:
            self._waiting.popleft().fail(ChildPoolStopped())
        self._idle.clear()
        leaving = [*self._members, *self._retired]
        for child in leaving:
            if child.phase is ChildPhase.IDLE:
                child.retire()
            else:
                child.end(ChildPoolStopped())
        await until_gone(leaving)

    async def call(
        self,
        frame: bytes,
        *,
        on_frame: Callable[[bytes], None],
        timeout: float | None = None,
    ) -> bytes:
        """Run one call in a free child and return its result; events go to `on_frame` in order.

        `timeout` (seconds) counts from when the child gets the call. A cancelled call, one past
        its timeout, and one whose `on_frame` raises has its child killed, and is over only when
        the child is dead. Raises `ChildDied`, `ChildTimeout`, `ChildFailedToStart`,
        `ChildPoolStopped`, `FrameTooLarge`.
        """
        if self._loop is None:
            raise ChildPoolStopped
        frame_head(FrameKind.CALL, len(frame))
        call = Call(frame, on_frame, timeout, self._loop.create_future())
        self._waiting.append(call)
        self._hand_out()
        try:
            return await call.done
        except asyncio.CancelledError as cancelled:
            await self._abandon(call, cancelled)
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of all children that live, retired ones included."""
        return [info.pid for info in self.children if info.pid is not None]

    @property
    def children(self) -> list[ChildInfo]:
        """All children that live, oldest first, for diagnosis."""
        everyone = sorted(self._members | self._retired, key=lambda child: child.born)
        return [child.info() for child in everyone]

    async def _abandon(self, call: Call, cancelled: asyncio.CancelledError) -> None:
        child = call.child
        if call.done.done() and not call.done.cancelled():
            # The outcome lost the race against the cancel; asyncio would warn of it unread.
            call.done.exception()
        if child is None:
            if call in self._waiting:
                self._waiting.remove(call)
        elif child.call is call:
            child.end(cancelled)
            await until_gone([child])

    def _hand_out(self) -> None:
        """Give waiting calls to idle children, the warmest first; start what is missing."""
        while self._waiting and self._idle:
            child = self._idle.pop()
            if child.phase is ChildPhase.IDLE:
                self._run_next(child)
        if not self._waiting or self._resume is not None:
            return
        starting = sum(child.phase is ChildPhase.STARTING for child in self._members)
        for _ in range(min(len(self._waiting) - starting, self._size - len(self._members))):
            self._start_child()

    def _run_next(self, child: Child) -> None:
        while self._waiting:
            call = self._waiting.popleft()
            if not call.done.done():
                child.run(call)
                return
        self._idle.append(child)

    def _start_child(self) -> None:
        if self._loop is None or self._resume is not None:
            return
        child = Child(self._loop, self._rule)
        try:
            child.start()
        except (OSError, RuntimeError) as error:
            self._on_failed_start(ChildFailedToStart(f"the system refused: {error}"))
        else:
            self._members.add(child)

    def _on_free(self, child: Child) -> None:
        if self._loop is None:
            child.retire()
            return
        self._pause = 0.0
        if self._is_worn(child):
            self._members.discard(child)
            self._retired.add(child)
            child.retire()
            self._start_child()
        else:
            self._idle.append(child)
        self._hand_out()

    def _on_gone(self, child: Child) -> None:
        self._members.discard(child)
        self._retired.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        if self._loop is None:
            return
        if child.failure is not None:
            self._on_failed_start(child.failure)
        self._hand_out()

    def _on_failed_start(self, failure: ChildFailedToStart) -> None:
        """Let the calls wait for other children; where there is none, tell them why."""
        if self._loop is None:
            return
        self._pause = min(max(FIRST_PAUSE, self._pause * 2), LONGEST_PAUSE)
        if self._resume is None:
            self._resume = self._loop.call_later(self._pause, self._start_again)
        logger.error("%s The next start waits %g s.", failure, self._pause)
        if not self._members:
            while self._waiting:
                self._waiting.popleft().fail(failure)

    def _start_again(self) -> None:
        self._resume = None
        self._hand_out()

    def _is_worn(self, child: Child) -> bool:
        if self._max_calls is not None and child.calls >= self._max_calls:
            return True
        if self._max_memory is None or child.calls == 0 or child.pid is None:
            return False
        return (resident_bytes(child.pid) or 0) > self._max_memory


async def until_gone(children: Sequence[Child]) -> None:
    """Wait until the children are reaped. A cancel meanwhile is obeyed afterwards: whoever kills
    a child may count on its death.
    """
    cancelled: asyncio.CancelledError | None = None
    while waiting := [child.gone for child in children if not child.gone.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def can_measure() -> bool:
    """Whether this system tells how much memory a process holds."""
    return resident_bytes(os.getpid()) is not None


def resident_bytes(pid: int) -> int | None:
    """The resident memory of a process; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as statm:
            pages = int(statm.read(256).split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
