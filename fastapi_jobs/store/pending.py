"""Operations on their way to the writer, and the answers on their way back."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from fastapi_jobs.store.transaction import Operation, Patience

logger = logging.getLogger("fastapi_jobs.store")

R_in = TypeVar("R_in", contravariant=True)

GROUP = 16
"""So many waiters hear at a time, then their callers.

What a waiter sets going and what its caller goes on with are different code: in turn, neither stays
in the processor's cache, and a request with its job takes a twentieth longer. All at a time would
save as much again, but each caller would wait for whatever all those jobs do before they first
await.
"""


class Waiter(Protocol[R_in]):
    """Who is told what became of an operation: a future, or something that acts like one."""

    def done(self) -> bool:
        """Nothing is to be told any more."""

    def set_result(self, result: R_in) -> None:
        """It is committed."""

    def set_exception(self, exception: Exception) -> None:
        """It was refused, or failed."""


class Pending:
    """An operation and whom to answer.

    `caller` is who is told that it takes too long, while `future` still hears what became of it; of
    two, `future` hears it first.
    """

    __slots__ = ("caller", "deadline", "future", "is_late", "loop", "operation")

    def __init__(
        self,
        operation: Operation[Any],
        future: Waiter[Any],
        loop: asyncio.AbstractEventLoop | None,
        timeout: float,
        caller: Waiter[Any] | None = None,
    ) -> None:
        self.operation = operation
        self.future = future
        self.loop = loop
        self.caller = future if caller is None else caller
        self.is_late = False
        """Its caller was told."""
        patience = operation.patience
        if patience is None:
            self.deadline = None
        else:
            seconds = timeout if isinstance(patience, Patience) else patience
            self.deadline = time.monotonic() + seconds

    def tell_late(self, error: Exception) -> None:
        """Its time is over, whatever may still become of it; from any thread."""
        self.is_late = True
        if self.loop is None:
            _settle(self.caller, error)
            return
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self.loop.call_soon_threadsafe(_settle, self.caller, error)


def deliver(answers: Sequence[tuple[Pending, Any]]) -> None:
    """Answer every caller, each event loop with one call."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Pending, Any]]] = {}
    for pending, answer in answers:
        if pending.loop is None:
            _settle(pending.future, answer)
        elif pending.loop in loops:
            loops[pending.loop].append((pending, answer))
        else:
            loops[pending.loop] = [(pending, answer)]
    for loop, settled in loops.items():
        try:
            loop.call_soon_threadsafe(_settle_all, settled)
        except RuntimeError:
            # The loop is closed: nobody waits there any more, and the work is committed.
            logger.debug("an event loop was closed before its answer came")


def _settle_all(answers: Sequence[tuple[Pending, Any]]) -> None:
    for start in range(0, len(answers), GROUP):
        group = answers[start : start + GROUP]
        for pending, answer in group:
            _settle(pending.future, answer)
        for pending, answer in group:
            if pending.caller is not pending.future:
                _settle(pending.caller, answer)


def _settle(future: Any, answer: Any) -> None:
    if future.done():
        return
    try:
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
    except InvalidStateError:
        logger.debug("a caller was told of its time's end just before its answer came")
