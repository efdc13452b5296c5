"""Every task of this process, by name."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Literal
from weakref import WeakMethod

from fastapi_jobs.errors import DuplicateTask, UnknownTask
from fastapi_jobs.options import Unique
from fastapi_jobs.retry import Retry
from fastapi_jobs.serialization import ArgumentsCodec, ResultCodec


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of `@task`; None leaves the settings in force."""

    queue: str | None = None
    priority: int = 0
    backend: str | None = None
    retry: Retry | None = None
    timeout: float | None = None
    expires: float | None = None
    unique: Unique | None = None
    max_running: int | None = None
    on_crash: Literal["requeue", "fail"] | None = None
    api: bool = False
    store_result: bool = True
    tags: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    """Parameters whose values people are never shown."""


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """A registered function with its options; it knows how to be called, not how to enqueue."""

    name: str
    function: Callable[..., Any]
    options: TaskOptions
    arguments: ArgumentsCodec
    result: ResultCodec
    injected: tuple[str, ...] = ()
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", iscoroutinefunction(self.function))

    @property
    def module(self) -> str:
        """The module to import to find this task in another process."""
        return import_name(self.function.__module__)

    @property
    def importable(self) -> bool:
        """Whether another process finds the function by importing its module."""
        return "<locals>" not in self.function.__qualname__

    @property
    def place(self) -> str:
        """Where the function is written, for messages."""
        code = getattr(self.function, "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        return f"{self.function.__module__}.{self.function.__qualname__}{where}"


def import_name(module: str) -> str:
    """The name under which `module` can be imported, also when it runs as `__main__`."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__") or str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def task_name(function: Callable[..., Any]) -> str:
    """`module.qualname` of the import name."""
    return f"{import_name(function.__module__)}.{function.__qualname__}"


class Registry(Mapping[str, TaskDefinition]):
    """The tasks by name."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskDefinition] = {}
        self._listeners: list[WeakMethod[Callable[[TaskDefinition], None]]] = []

    def listen(self, listener: Callable[[TaskDefinition], None]) -> None:
        """Call a bound method for each task that is registered from now on, while its object
        lives.
        """
        self._listeners.append(WeakMethod(listener))

    def add(self, definition: TaskDefinition) -> None:
        """Register a task. The same function, loaded again, takes its own place.

        Raises:
            DuplicateTask: another function has this name.
        """
        known = self._tasks.get(definition.name)
        if known is not None and known.place != definition.place:
            raise DuplicateTask(definition.name, known.place, definition.place)
        self._tasks[definition.name] = definition
        self._listeners = [each for each in self._listeners if each() is not None]
        for each in self._listeners:
            if (listener := each()) is not None:
                listener(definition)

    def find(self, name: str) -> TaskDefinition:
        """The task of this name.

        Raises:
            UnknownTask: with the nearest name.
        """
        definition = self._tasks.get(name)
        if definition is None:
            raise UnknownTask(name, self._tasks)
        return definition

    def remove(self, name: str) -> None:
        """Forget a task, for tests that register their own."""
        self._tasks.pop(name, None)

    def __getitem__(self, name: str) -> TaskDefinition:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._tasks))

    def __len__(self) -> int:
        return len(self._tasks)


registry = Registry()
"""The tasks of this process; `@task` adds to it."""
