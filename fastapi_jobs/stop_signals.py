"""Hearing that this process is to stop before the server does that runs in it.

A server lets the requests under way end before it shuts the app down: whoever waits for a job would
hold it up. So the signals' handlers are wrapped, never replaced.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Calls `heard` when the process is asked to stop, then whoever handled that before."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard: Callable[[], None] | None = heard
        self._undo: list[Callable[[], None]] = []
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                self._wrap(number)

    def _wrap(self, number: signal.Signals) -> None:
        theirs = signal.getsignal(number)
        if not callable(theirs) or theirs is signal.default_int_handler:
            return  # nobody stops gently here

        def ours(number_heard: int, frame: FrameType | None) -> None:
            if self._heard is not None:
                self._heard()
            theirs(number_heard, frame)

        signal.signal(number, ours)

        def undo() -> None:
            if signal.getsignal(number) is ours:
                signal.signal(number, theirs)

        self._undo.append(undo)

    def close(self) -> None:
        """Hear nothing more."""
        self._heard = None
        if threading.current_thread() is threading.main_thread():
            while self._undo:
                self._undo.pop()()
