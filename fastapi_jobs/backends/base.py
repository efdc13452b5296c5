"""What a way to run jobs must do: `submit`. Everything else has a default."""

from typing import ClassVar

from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.runner import Call, Report


class Backend:
    """One way to run jobs. Subclass it, say what it can, and give `submit`.

    `slots` is how many jobs it runs at a time in this process.
    """

    name: ClassVar[str] = ""
    stops_async: ClassVar[bool] = True
    """A running `async def` task can be cancelled and timed out."""
    stops_sync: ClassVar[bool] = False
    """A running `def` task can be cancelled and timed out."""
    shares_process: ClassVar[bool] = True
    """A job that kills its process kills the worker and its other jobs."""
    cure: ClassVar[str] = 'backend="process"'
    """What stops tasks that cannot be stopped here."""
    needs_import: ClassVar[bool] = False
    """Tasks are found again by importing their module."""
    by_message: ClassVar[bool] = False
    """Its jobs are claimed when a broker's message names them, never by looking for work."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    async def start(self) -> None:
        """Get ready; awaited in the dispatcher's loop before the first `submit`."""

    async def submit(self, call: Call) -> Report:
        """Run the function of `call` and say how it ended. Must not raise for what a task does.

        `runner.call_async` and `runner.call_sync` do it where they are called; the first keeps the
        timeout by itself. For a `def` function that cannot be stopped, say `call.mark_overdue()`
        when `call.timeout` seconds have passed. `testing.backends` holds a backend to all this.
        """
        raise NotImplementedError(f"{type(self).__name__} must define submit(call)")

    def cancel(self, call: Call) -> None:
        """Somebody wants `call` stopped; by default the task itself is told."""
        call.cancel_requested = True

    def release(self, call: Call) -> None:
        """This process stops: end `call` if that is possible, uncharged."""
        call.released = True

    async def stop(self) -> None:
        """Free what `start` took; no call is under way any more, or none that can be stopped."""

    def shortcomings(self, definition: TaskDefinition, timeout: float | None) -> list[str]:
        """What this backend cannot do for a task, in sentences."""
        found = []
        stops = self.stops_async if definition.is_async else self.stops_sync
        if timeout is not None and not stops:
            kind = "async def" if definition.is_async else "def"
            found.append(
                f"timeout={timeout:g} cannot stop a {kind} task on the {self.name} backend: "
                "a thread cannot be stopped. It is marked and ends by itself. "
                f"The cure is {self.cure}."
            )
        if self.needs_import and not definition.importable:
            found.append(
                f"it is defined inside a function, so the {self.name} backend "
                "cannot import it. Move it to the top level of its module."
            )
        return found
