"""One function, two tasks: every behaviour holds for `def` and for `async def`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from fastapi_jobs.tasks import Task, task

Kind = Literal["def", "async def"]
AnyTask = Task[..., Any, Any]


@dataclass(frozen=True)
class Both:
    """The two tasks of one function."""

    sync: AnyTask
    awaited: AnyTask

    def of(self, kind: Kind) -> AnyTask:
        """The task of this kind."""
        return self.sync if kind == "def" else self.awaited


def both(**options: Any) -> Callable[[Callable[..., Any]], Both]:
    """Register a function as a `def` task and, wrapped, as an `async def` task."""

    def register(function: Callable[..., Any]) -> Both:
        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        name = f"{function.__module__}.{function.__qualname__}"
        return Both(
            task(name=name, **options)(function), task(name=f"{name}/async", **options)(awaited)
        )

    return register
