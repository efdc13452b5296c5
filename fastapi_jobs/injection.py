"""Which parameters of a task are filled when its job runs, instead of by the caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from fastapi import params

from .errors import TaskDefinitionError
from .serialization import Parameter, read_parameters

_OF_A_REQUEST = {
    "BackgroundTasks": "Enqueue another task instead.",
    "HTTPConnection": "Take what you need of it as arguments: a job runs without a request.",
    "Response": "Return a value: a job runs without a response.",
    "SecurityScopes": "Take what you need of it as arguments: a job runs without a request.",
}


@dataclass(frozen=True)
class Injected:
    """One parameter that the runner fills with what `dependency` stands for."""

    name: str
    dependency: Callable[..., Any]


def find_injected(
    task: str, function: Callable[..., Any], context_type: type
) -> Mapping[str, Injected]:
    """The injected parameters by name; today only `context_type` can be injected.

    Raises TaskDefinitionError naming the parameter that asks for anything else.
    """
    found = {}
    for one in read_parameters(task, function):
        marker = _marker(task, one)
        if marker is None:
            _refuse_unmarked(task, one, context_type)
        elif (dependency := marker.dependency or _plain_type(one)) is context_type:
            found[one.name] = Injected(one.name, context_type)
        else:
            raise _not_injectable(task, one, dependency, context_type)
    return found


def _marker(task: str, one: Parameter) -> params.Depends | None:
    metadata = get_args(one.annotation)[1:] if get_origin(one.annotation) is Annotated else ()
    markers = [item for item in (*metadata, one.default) if isinstance(item, params.Depends)]
    if len(markers) > 1:
        raise TaskDefinitionError(
            task,
            f"parameter {one.name!r}",
            "Depends is given more than once. Keep it either in Annotated or as the default.",
        )
    return markers[0] if markers else None


def _plain_type(one: Parameter) -> Any:
    if get_origin(one.annotation) is Annotated:
        return get_args(one.annotation)[0]
    return one.annotation


def _not_injectable(
    task: str, one: Parameter, dependency: Any, context_type: type
) -> TaskDefinitionError:
    context = context_type.__name__
    if dependency is Any:
        problem = "Depends() needs to know what to inject."
    else:
        shown = getattr(dependency, "__name__", repr(dependency))
        problem = f"Depends({shown}) cannot be injected into a job; only {context} can."
    cure = f"Write {one.name}: {context} = Depends(), or open what you need inside the task."
    return TaskDefinitionError(task, f"parameter {one.name!r}", f"{problem} {cure}")


def _refuse_unmarked(task: str, one: Parameter, context_type: type) -> None:
    """What FastAPI fills by its type alone, and a context that lacks its Depends()."""
    wanted = _plain_type(one)
    members = (wanted, *get_args(wanted))
    if context_type in members:
        problem = f"a {context_type.__name__} is injected, not passed. "
        cure = f"Write {one.name}: {context_type.__name__} = Depends()."
        raise TaskDefinitionError(task, f"parameter {one.name!r}", problem + cure)
    for member in members:
        if cure := _cure_for_request_type(member):
            problem = f"{member.__name__} belongs to a request and cannot be injected into a job. "
            raise TaskDefinitionError(task, f"parameter {one.name!r}", problem + cure)


def _cure_for_request_type(wanted: Any) -> str:
    # By name, so that nothing of Starlette needs to be imported here.
    for base in getattr(wanted, "__mro__", ()):
        if base.__module__.partition(".")[0] in ("starlette", "fastapi"):
            cure = _OF_A_REQUEST.get(base.__name__, "")
            if cure:
                return cure
    return ""
