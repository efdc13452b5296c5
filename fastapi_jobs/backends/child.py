"""One child and the call it runs, as the event loop sees them."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from fastapi_jobs.backends.child_errors import (
    ChildDied,
    ChildFailedToStart,
    ChildTimeout,
    describe_exit,
)
from fastapi_jobs.backends.child_link import ChildLink
from fastapi_jobs.backends.child_process import ChildExit, ChildProcess
from fastapi_jobs.channel import STDERR, FrameKind

START_SECONDS = 60.0
# A child whose link is closed has this long to leave by itself.
LEAVE_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class Call:
    """One frame to be answered, by whichever child is free first."""

    frame: bytes
    on_frame: Callable[[bytes], None]
    timeout: float | None
    done: asyncio.Future[bytes]
    child: "Child | None" = None

    def fail(self, error: BaseException) -> None:
        """End the call with an error, unless its caller left already."""
        if not self.done.done():
            self.done.set_exception(error)


class ChildPhase(StrEnum):
    """Where a child stands; each goes only downwards, but idle and busy alternate."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """A child in a diagnosis: its age in seconds, the calls it has answered."""

    pid: int | None
    phase: ChildPhase
    calls: int
    age: float


@dataclass(frozen=True, slots=True)
class ChildRule:
    """What all children of a pool have in common; `kill_grace` in seconds."""

    command: Sequence[str]
    hello: bytes
    kill_grace: float
    on_free: Callable[["Child"], None]
    on_gone: Callable[["Child"], None]


@dataclass(eq=False)
class Child:
    """A child process with its link; tells the pool when it is free and when it is gone."""

    loop: asyncio.AbstractEventLoop
    rule: ChildRule
    phase: ChildPhase = ChildPhase.STARTING
    pid: int | None = None
    calls: int = 0
    call: Call | None = None
    failure: ChildFailedToStart | None = None
    born: float = field(default_factory=time.monotonic)
    _exited: bool = False
    _reason: BaseException | None = None
    _timer: asyncio.TimerHandle | None = None
    _killer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the process; raises OSError or RuntimeError when the system has no room."""
        self.gone: asyncio.Future[None] = self.loop.create_future()
        ours, theirs = socket.socketpair()
        try:
            stderr = duplicate_stderr()
        except OSError:
            ours.close()
            theirs.close()
            raise
        self._link = ChildLink(self.loop, ours, self._on_frame, self._on_link_end)
        self._link.send(FrameKind.HELLO, STDERR.pack(stderr) + self.rule.hello)
        self._process = ChildProcess(
            self.rule.command, theirs.detach(), stderr, self._post_pid, self._post_exit
        )
        try:
            self._process.start()
        except RuntimeError:
            self._process.close_inherited()
            self._link.close()
            raise
        self._timer = self.loop.call_later(START_SECONDS, self._on_slow_start)

    def run(self, call: Call) -> None:
        """Send a call to this idle child."""
        self.phase = ChildPhase.BUSY
        self.call, call.child = call, self
        if call.timeout is not None:
            self._timer = self.loop.call_later(call.timeout, self._on_timeout, call.timeout)
        self._link.send(FrameKind.CALL, call.frame)

    def end(self, reason: BaseException) -> None:
        """Kill the child; its call, if any, ends with this reason when the child is gone."""
        if self.phase in (ChildPhase.ENDING, ChildPhase.GONE):
            return
        grace = self.rule.kill_grace if self.phase is ChildPhase.BUSY else 0.0
        self.phase = ChildPhase.ENDING
        self._reason = reason
        self._stop_timer()
        if grace > 0:
            self._process.terminate()
            self._kill_after(grace)
        else:
            self._process.kill()

    def retire(self) -> None:
        """Let an idle child leave by itself, with its exit hooks; kill it when it lingers."""
        self.phase = ChildPhase.ENDING
        self._link.close()
        self._kill_after(LEAVE_SECONDS)

    def info(self) -> ChildInfo:
        """What a diagnosis shows."""
        return ChildInfo(self.pid, self.phase, self.calls, time.monotonic() - self.born)

    def _post_pid(self, pid: int) -> None:
        self.pid = pid

    def _post_exit(self, ended: ChildExit) -> None:
        # A loop that was closed without stop() has nobody to tell.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._on_exit, ended)

    def _on_frame(self, kind: int, body: bytes) -> None:
        call = self.call
        if kind == FrameKind.EVENT and call is not None:
            try:
                call.on_frame(body)
            except Exception as error:
                self.end(error)
        elif kind == FrameKind.RESULT and self.phase is ChildPhase.BUSY and call is not None:
            self.call = None
            self.calls += 1
            if not call.done.done():
                call.done.set_result(body)
            self._become_free()
        elif kind == FrameKind.READY and self.phase is ChildPhase.STARTING and not self._exited:
            self._become_free()

    def _become_free(self) -> None:
        self._stop_timer()
        self.phase = ChildPhase.IDLE
        # The last result of a child that is dead already must not bring it another call.
        if not self._exited:
            self.rule.on_free(self)

    def _on_link_end(self) -> None:
        if self.phase is ChildPhase.IDLE:
            self.phase = ChildPhase.ENDING
        # The exit follows in an instant, with its code; a child without a link is of no use.
        if self._killer is None:
            self._kill_after(LEAVE_SECONDS)

    def _on_timeout(self, seconds: float) -> None:
        self.end(ChildTimeout(seconds, self.pid or 0))

    def _on_slow_start(self) -> None:
        self.end(ChildFailedToStart(f"it was not ready after {START_SECONDS:g} s"))

    def _on_exit(self, ended: ChildExit) -> None:
        self._exited = True
        self._process.join()
        self._link.drain()
        self._link.close()
        self._stop_timer()
        if self._killer is not None:
            self._killer.cancel()
        if isinstance(self._reason, ChildFailedToStart):
            self.failure = ChildFailedToStart(self._reason.reason, ended.stderr)
        elif self.phase is ChildPhase.STARTING:
            self.failure = failed_to_start(ended)
        self.phase = ChildPhase.GONE
        if self.call is not None:
            died = ChildDied(ended.exit_code, ended.signal, self.pid or 0)
            self.call.fail(self._reason or died)
            self.call = None
        self.gone.set_result(None)
        self.rule.on_gone(self)

    def _kill_after(self, seconds: float) -> None:
        self._killer = self.loop.call_later(seconds, self._process.kill)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def failed_to_start(ended: ChildExit) -> ChildFailedToStart:
    """The error for a child that ended before it was ready."""
    how = f"it {describe_exit(ended.exit_code, ended.signal)} before it was ready"
    return ChildFailedToStart(ended.problem or how, ended.stderr, ended.exit_code, ended.signal)


def duplicate_stderr() -> int:
    """A descriptor of our stderr for the child; of nothing where we have none (a daemon)."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
