"""`@task`, and what a task can do: be called, be enqueued, become a signature."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import update_wrapper, wraps
from inspect import signature
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapi_jobs.context import JobContext, inside
from fastapi_jobs.enqueueing import enqueue, enqueue_sync
from fastapi_jobs.errors import InvalidOption, TaskDefinitionError, did_you_mean
from fastapi_jobs.handle import Job
from fastapi_jobs.injection import find_injected
from fastapi_jobs.options import (
    Unique,
    checked_backend,
    checked_count,
    checked_names,
    checked_priority,
    checked_queue,
    checked_seconds,
    checked_tags,
)
from fastapi_jobs.registry import TaskDefinition, TaskOptions, registry, task_name
from fastapi_jobs.retry import Retry
from fastapi_jobs.serialization import ArgumentsCodec, ResultCodec
from fastapi_jobs.using import Moment, Using

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C_co = TypeVar("C_co", covariant=True)


def _names_its_options(method: Callable[P, R]) -> Callable[P, R]:
    """Turns an unknown keyword into a sentence with "did you mean"."""
    known = [name for name in signature(method).parameters if name != "self"]

    @wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in known:
                hint = did_you_mean(name, known)
                raise InvalidOption(name, value, f"there is no such option of using().{hint}")
        return method(*args, **kwargs)

    return checked


@dataclass(frozen=True, slots=True)
class Signature(Generic[R_co]):
    """A task with its arguments, not yet enqueued: `task.s(...)`, for `enqueue_many`."""

    definition: TaskDefinition
    using: Using
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


class Task(Generic[P, R_co, C_co]):
    """A registered function. Calling it runs the function; `enqueue` makes a job of the call.

    `R_co` is what the function returns in the end, `C_co` what a plain call of it returns.
    """

    def __init__(self, definition: TaskDefinition, using: Using | None = None) -> None:
        self.definition = definition
        self._using = using or Using()
        update_wrapper(self, definition.function)

    @property
    def name(self) -> str:
        """The name under which the task is registered and its jobs are stored."""
        return self.definition.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C_co:
        """Run the function here and now; injected parameters get a detached context."""
        given: dict[str, Any] = dict(kwargs)
        for name in self.definition.injected:
            given.setdefault(name, inside() or JobContext())
        return self.definition.function(*args, **given)  # type: ignore[no-any-return]

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R_co]:
        """Store a job; when this returns, it is committed and will run at least once.

        Raises:
            EnqueueError: a refusal (InvalidArguments, QueueFull, …); nothing was stored.
            StoreUnavailable: the database does not answer; nothing is promised.
        """
        return await enqueue(self.definition, self._using, args, kwargs)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> Job[R_co]:
        """The same for `def` endpoints and scripts.

        Raises:
            SyncOnLoop: an event loop runs here; and all that `enqueue` raises.
        """
        return enqueue_sync(self.definition, self._using, args, kwargs)

    def s(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R_co]:
        """This call as a value, to be enqueued later."""
        return Signature(self.definition, self._using, args, kwargs)

    @_names_its_options
    def using(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_after: Moment | None = None,
        expires: Moment | None = None,
        backend: str | None = None,
        unique_key: str | None = None,
        owner: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        session: Session | AsyncSession | None = None,
        app: Any = None,
    ) -> "Task[P, R_co, C_co]":
        """A copy of this task with other options for its jobs.

        `tags` and `metadata` are added, the rest replaces. `run_after` and `expires` are aware
        datetimes, timedeltas or seconds from the enqueue.

        Raises:
            InvalidOption: a value breaks its rule; or there is no such option.
        """
        options = {
            "queue": queue,
            "priority": priority,
            "run_after": run_after,
            "expires": expires,
            "backend": backend,
            "unique_key": unique_key,
            "owner": owner,
            "tags": tags,
            "metadata": metadata,
            "session": session,
            "app": app,
        }
        return Task(self.definition, self._using.changed(options))

    def __repr__(self) -> str:
        return f"<Task {self.name}>"


@overload
def task(
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> Task[P, R, Coroutine[Any, Any, R]]: ...


@overload
def task(function: Callable[P, R], /) -> Task[P, R, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    queue: str | None = None,
    priority: int = 0,
    backend: str | None = None,
    retries: int | None = None,
    retry: Retry | None = None,
    timeout: float | timedelta | None = None,
    expires: float | timedelta | None = None,
    unique: bool | Unique = False,
    max_running: int | None = None,
    on_crash: Literal["requeue", "fail"] | None = None,
    api: bool = False,
    store_result: bool = True,
    tags: Sequence[str] = (),
    secret: Sequence[str] = (),
) -> "_Decorator": ...


def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task. Options are in the README's table; durations are seconds.

    Raises:
        TaskDefinitionError: the task cannot work; at import, naming task and option.
        DuplicateTask: the name is taken by another function.
    """
    if function is None:
        return _Decorator(options)
    return _Decorator(options)(function)


class _Decorator:
    """`@task(...)` with its options, waiting for the function."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Task[P, R, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R, R]: ...

    def __call__(self, function: Callable[..., Any], /) -> Any:
        definition = define(function, self._options)
        registry.add(definition)
        return Task(definition)


def define(function: Callable[..., Any], given: Mapping[str, Any]) -> TaskDefinition:
    """The definition of a task, judged by what it alone can know.

    Raises:
        TaskDefinitionError
    """
    options = dict(given)
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise TaskDefinitionError(repr(function), "", "@task needs a function.")
    name = options.pop("name", None) or task_name(function)
    if not isinstance(name, str) or not 1 <= len(name) <= 200 or not name.isprintable():
        raise TaskDefinitionError(
            str(name)[:60], "name", "give a text of 1 to 200 printable characters."
        )
    for key in options:
        if key not in _RULES:
            hint = did_you_mean(key, ["name", *_RULES])
            raise TaskDefinitionError(name, key, f"there is no such option of @task.{hint}")
    checked = _checked(name, options)
    injected = find_injected(name, function, JobContext)
    return TaskDefinition(
        name=name,
        function=function,
        options=checked,
        arguments=ArgumentsCodec(name, function, injected, checked.secret),
        result=ResultCodec(name, function if checked.store_result else _nothing),
        injected=tuple(injected),
    )


def _nothing() -> None:
    """Stands for a task whose result is not stored, whatever its annotation."""


def _checked(name: str, options: dict[str, Any]) -> TaskOptions:
    if options.get("retries") is not None and options.get("retry") is not None:
        problem = "give retries=n or retry=Retry(max=n, ...), not both."
        raise TaskDefinitionError(name, "retries and retry", problem)
    values: dict[str, Any] = {}
    for key, value in options.items():
        if value is None:
            continue
        try:
            values[key] = _RULES[key](value)
        except InvalidOption as error:
            raise TaskDefinitionError(name, error.option, str(error)) from None
        except ValueError as error:
            raise TaskDefinitionError(name, key, str(error)) from None
    retries = values.pop("retries", None)
    if retries is not None:
        values["retry"] = Retry(max=retries)
    return TaskOptions(**values)


def _retry(value: Any) -> Retry:
    if not isinstance(value, Retry):
        raise InvalidOption("retry", value, "give a Retry(...), or a number as retries=n.")
    return value


def _unique(value: Any) -> Unique | None:
    if isinstance(value, bool):
        return Unique() if value else None
    if not isinstance(value, Unique):
        raise InvalidOption("unique", value, "give True, False or Unique(...).")
    return value


def _on_crash(value: Any) -> str:
    if value not in ("requeue", "fail"):
        raise InvalidOption("on_crash", value, 'give "requeue" or "fail".')
    return str(value)


def _flag(option: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidOption(option, value, "give True or False.")
        return value

    return check


_RULES: dict[str, Callable[[Any], Any]] = {
    "queue": checked_queue,
    "priority": checked_priority,
    "backend": checked_backend,
    "retries": lambda value: checked_count("retries", value, least=0),
    "retry": _retry,
    "timeout": lambda value: checked_seconds("timeout", value),
    "expires": lambda value: checked_seconds("expires", value),
    "unique": _unique,
    "max_running": lambda value: checked_count("max_running", value, least=1),
    "on_crash": _on_crash,
    "api": _flag("api"),
    "store_result": _flag("store_result"),
    "tags": checked_tags,
    "secret": lambda value: checked_names("secret", value),
}
