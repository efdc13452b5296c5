"""What an event loop has for the writer, handed over all at once.

The writer would else be woken amid a turn of the loop, to fight with it for the GIL over a batch of
one. So a loop hands over as soon as QUIET_TURNS of its turns brought nothing more: no timer, and
nothing is lost where only one job comes. For an HTTP server on one core that is 25 jobs a commit
instead of 10.
"""

import asyncio
from collections.abc import Callable

from fastapi_jobs.store.pending import Pending

QUIET_TURNS = 2
"""From the arrival of a request to its operation a server needs two turns of its loop."""

GATHER_SECONDS = 0.02
"""The longest that a loop which is never quiet keeps its operations back."""


class Outboxes:
    """The outbox of each event loop; `add` is called on the loop itself."""

    def __init__(self, hand_over: Callable[[list[Pending]], None]) -> None:
        self._hand_over = hand_over
        self._open: dict[asyncio.AbstractEventLoop, list[Pending]] = {}

    def add(self, loop: asyncio.AbstractEventLoop, pending: Pending) -> None:
        """Take `pending` along with what the next turns of `loop` bring."""
        outbox = self._open.get(loop)
        if outbox is None:
            self._open[loop] = [pending]
            loop.call_soon(self._turn, loop, 0, 0, loop.time() + GATHER_SECONDS)
        else:
            outbox.append(pending)

    def _turn(self, loop: asyncio.AbstractEventLoop, before: int, quiet: int, until: float) -> None:
        found = len(self._open[loop])
        quiet = quiet + 1 if found == before else 0
        if quiet == QUIET_TURNS or loop.time() > until:
            self._hand_over(self._open.pop(loop))
        else:
            loop.call_soon(self._turn, loop, found, quiet, until)
