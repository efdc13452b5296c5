"""The parameters of a function with their annotations resolved, postponed ones included."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Never, NoReturn, get_args, get_origin, get_type_hints

from typing_extensions import Unpack

from ..errors import TaskDefinitionError

NO_DEFAULT = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, its kind (of `inspect`), what it takes and its default."""

    name: str
    kind: inspect._ParameterKind
    annotation: Any = Any
    default: Any = NO_DEFAULT

    @property
    def is_required(self) -> bool:
        """True when a call cannot leave it out."""
        if self.is_variadic:
            return self._has_typed_keywords
        return self.default is NO_DEFAULT

    @property
    def is_variadic(self) -> bool:
        """True for `*args` and `**kwargs`."""
        return self.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

    @property
    def value_type(self) -> Any:
        """The annotation, or the type of all that `*args` or `**kwargs` collect."""
        annotation: Any = self.annotation
        if not self.is_variadic:
            return annotation
        if self._has_typed_keywords:
            return get_args(annotation)[0]
        if self.kind is inspect.Parameter.VAR_POSITIONAL:
            return list[annotation]
        return dict[str, annotation]

    @property
    def _has_typed_keywords(self) -> bool:
        """True for `**kwargs: Unpack[SomeTypedDict]`, whose keys have rules of their own."""
        is_keywords = self.kind is inspect.Parameter.VAR_KEYWORD
        return is_keywords and get_origin(self.annotation) is Unpack


def read_parameters(task: str, function: Callable[..., Any]) -> list[Parameter]:
    """The parameters in order, `Any` where none is annotated.

    Raises TaskDefinitionError naming the parameter whose annotation cannot be resolved.
    """
    return [
        Parameter(one.name, one.kind, _resolve(task, function, one), one.default)
        for one in _signature(task, function).parameters.values()
    ]


def read_result(task: str, function: Callable[..., Any]) -> Any:
    """The return annotation; `Any` when there is none, or none that says more than "nothing"."""
    raw = _signature(task, function).return_annotation
    if raw is inspect.Signature.empty:
        return Any
    found = _evaluate(task, function, "the return annotation", raw)
    return Any if found in (None, type(None), NoReturn, Never) else found


def _signature(task: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except NameError as error:  # Python 3.14 evaluates annotations here
        raise TaskDefinitionError(task, "", _unknown_name(error)) from error


def _resolve(task: str, function: Callable[..., Any], one: inspect.Parameter) -> Any:
    if one.annotation is inspect.Parameter.empty:
        return Any
    return _evaluate(task, function, f"parameter {one.name!r}", one.annotation)


def _evaluate(task: str, function: Callable[..., Any], where: str, raw: Any) -> Any:
    names: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    holder = SimpleNamespace(__annotations__={"it": raw})
    try:
        return get_type_hints(holder, globalns=dict(names), include_extras=True)["it"]
    except NameError as error:
        raise TaskDefinitionError(task, where, _unknown_name(error)) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        problem = f"its annotation {raw!r} is not a type ({error}). Write a type."
        raise TaskDefinitionError(task, where, problem) from error


def _unknown_name(error: NameError) -> str:
    return (
        f"the name {error.name!r} in its annotation is not known in the task's module. "
        "Import it there, outside `if TYPE_CHECKING` and outside functions."
    )
