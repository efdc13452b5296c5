"""What can happen to a call in a child process; the process backend turns it into outcomes.

ChildError
├── ChildDied            the child ended by itself: os._exit, a segfault, the OOM killer
├── ChildTimeout         the call took too long; its child was killed
├── ChildFailedToStart   the child ended before it could take a call
└── ChildPoolStopped     the pool was stopped, or is not started
"""

from signal import Signals

from fastapi_jobs.errors import FastAPIJobsError


class ChildError(FastAPIJobsError):
    """Base of what keeps a child process from answering a call."""


def describe_exit(exit_code: int | None, signal: int | None) -> str:
    """How a process ended, in words."""
    if signal is not None:
        name = Signals(signal).name if signal in set(Signals) else str(signal)
        return f"was ended by signal {name}"
    if exit_code is not None:
        return f"ended with exit code {exit_code}"
    return "ended in an unknown way (its exit was collected by other code of this process)"


class ChildDied(ChildError):
    """The child ended by itself during the call; exactly one of code and signal is usually set."""

    def __init__(self, exit_code: int | None, signal: int | None, pid: int) -> None:
        self.exit_code, self.signal, self.pid = exit_code, signal, pid
        hint = " SIGKILL without a kill often is a lack of memory." if signal == 9 else ""
        super().__init__(
            f"The child process {pid} {describe_exit(exit_code, signal)} "
            f"before it returned a result.{hint}"
        )


class ChildTimeout(ChildError, TimeoutError):
    """The call was not finished in time; its child is dead."""

    def __init__(self, seconds: float, pid: int) -> None:
        self.seconds, self.pid = seconds, pid
        super().__init__(
            f"The call took longer than its timeout of {seconds:g} s; "
            f"its child process {pid} was killed."
        )


class ChildFailedToStart(ChildError):
    """The child ended, or hung, before it was ready; `stderr` holds its last lines."""

    def __init__(
        self, reason: str, stderr: str = "", exit_code: int | None = None, signal: int | None = None
    ) -> None:
        self.reason, self.stderr = reason, stderr
        self.exit_code, self.signal = exit_code, signal
        said = f" Its last words:\n{stderr}" if stderr else " It wrote nothing to stderr."
        super().__init__(f"The child process could not start: {reason}.{said}")


class ChildPoolStopped(ChildError):
    """The pool does not run; a call that was under way ended with its child."""

    def __init__(self) -> None:
        super().__init__(
            "The pool of child processes does not run: it was stopped, or start() was not awaited."
        )
