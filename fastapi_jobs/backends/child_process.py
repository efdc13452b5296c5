"""One child process: started, killed and reaped by a thread of its own.

The thread lives exactly as long as the child. So neither the start nor the wait ever blocks the
event loop, no child watcher of asyncio is needed, no exit is missed — and Linux, which ends a
child when the *thread* that started it ends, ends it neither too early nor too late.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

TAIL_LINES = 12
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended; `problem` says why it could not even be executed."""

    exit_code: int | None = None
    signal: int | None = None
    stderr: str = ""
    problem: str = ""


class ChildProcess:
    """Runs `[*command, str(fd)]` in a session of its own.

    `on_pid` and `on_exit` are called from the thread of the child; `on_exit` always comes, last,
    when the child is reaped and whatever is left of its process group was sent SIGKILL.
    """

    def __init__(
        self,
        command: Sequence[str],
        fd: int,
        stderr: int,
        on_pid: Callable[[int], None],
        on_exit: Callable[[ChildExit], None],
    ) -> None:
        """Take over `fd`, the child's end of the link, and `stderr`, its later stderr."""
        self._command, self._fd, self._stderr = [*command, str(fd)], fd, stderr
        self._on_pid, self._on_exit = on_pid, on_exit
        # Until the child is ready its stderr is this file: a failed start can be quoted.
        self._words: BinaryIO | None = None
        self._alive = threading.Lock()
        self._pid: int | None = None
        self._reaped = False
        self._early_kill = False
        self._thread = threading.Thread(
            target=self._live, name="fastapi-jobs child process", daemon=True
        )

    def start(self) -> None:
        """Start the thread, which starts the child; raises RuntimeError without threads left."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread; immediate once `on_exit` was called."""
        self._thread.join()

    def terminate(self) -> None:
        """Ask the child, and only it, to end: what it started it may end in its own order."""
        with self._alive:
            if self._pid is not None and not self._reaped:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the child and everything it started in its process group."""
        with self._alive:
            self._early_kill = True
            if self._pid is not None and not self._reaped:
                self._kill_group(self._pid)

    def _live(self) -> None:
        try:
            ended = self._run()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            ended = ChildExit(problem=f"{self._command[0]!r} cannot be executed: {error}")
        self._on_exit(ended)

    def _run(self) -> ChildExit:
        try:
            words = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        except OSError:
            self.close_inherited()
            raise
        with words:
            try:
                popen = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stderr=words,
                    pass_fds=(self._fd, self._stderr),
                    start_new_session=True,
                )
            finally:
                self.close_inherited()
            with self._alive:
                self._pid = popen.pid
                if self._early_kill:
                    self._kill_group(popen.pid)
            self._on_pid(popen.pid)
            code = self._reap(popen)
            stderr = last_lines(words)
        if code is None:
            return ChildExit(stderr=stderr)
        if code < 0:
            return ChildExit(signal=-code, stderr=stderr)
        return ChildExit(exit_code=code, stderr=stderr)

    def close_inherited(self) -> None:
        """Close what was taken over for the child; done by the thread unless it never ran."""
        os.close(self._fd)
        os.close(self._stderr)

    def _reap(self, popen: "subprocess.Popen[bytes]") -> int | None:
        """Wait for the end, end the rest of the group, then free the process id, in this order:
        while the dead child is not reaped, no stranger can have its id.
        """
        stolen = False
        if hasattr(os, "waitid"):
            try:
                os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                # Someone waits for any child, or SIGCHLD is ignored: the exit code is lost.
                stolen = True
        else:
            # macOS before Python 3.13.
            popen.wait()
        with self._alive:
            self._kill_group(popen.pid)
            code = popen.wait()
            self._reaped = True
        return None if stolen else code

    @staticmethod
    def _kill_group(pid: int) -> None:
        # macOS answers PermissionError for a group of zombies only.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def last_lines(words: BinaryIO) -> str:
    """The end of what was written to a file, as text."""
    words.seek(max(0, words.seek(0, os.SEEK_END) - TAIL_BYTES))
    lines = words.read().decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-TAIL_LINES:])
