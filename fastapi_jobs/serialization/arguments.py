"""The arguments of one task: bound, validated and written at enqueue; read back at its run."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as ModelField
from pydantic.fields import FieldInfo

from ..errors import InvalidArguments, TaskDefinitionError, did_you_mean
from .binding import Binder, Misfit
from .fields import BASE64, UNUSABLE, ExactFields, Field, Unfaithful, why_unusable
from .signature import Parameter, read_parameters
from .wording import Problem

NO_ARGUMENTS = "{}"
"""How a call without any argument is stored."""

RESULT = "return"
"""What a task returns, among the names of its secrets; no parameter can have this name."""


class ArgumentsCodec:
    """Turns calls of one task into JSON text and back; made once, from its function.

    `injected` names the parameters that the runner fills, `secret` those whose values no error may
    tell. Raises TaskDefinitionError naming the parameter whose annotation has no JSON form.
    """

    def __init__(
        self,
        task: str,
        function: Callable[..., Any],
        injected: Collection[str] = (),
        secret: Collection[str] = (),
    ) -> None:
        self.task = task
        parameters = read_parameters(task, function)
        self._parameters = [one for one in parameters if one.name not in injected]
        self._secret = _known(task, secret, self.names)
        self._binder = Binder(task, parameters, injected)
        self._fields = _compile(task, self._parameters)
        self._needs_nothing = not any(one.is_required for one in self._parameters)

    def dump(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """JSON text of a call with Python values; omitted parameters are not stored.

        Raises InvalidArguments naming every parameter that is missing, unknown, invalid, or whose
        value would come back as something else.
        """
        return self._dump(self._fields.write, args, kwargs)

    def dump_json(self, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
        """The same for values parsed from JSON: a string becomes a datetime, an object a model.

        Raises InvalidArguments as `dump` does.
        """
        return self._dump(self._fields.write_json, args, kwargs)

    def dump_named_json(self, params: Mapping[str, object]) -> str:
        """The same for an object as `params_model` describes it: every parameter by its name.

        Raises InvalidArguments as `dump` does.
        """
        try:
            return self._fields.write_json(self._binder.bind_named(params))
        except Misfit as error:
            raise InvalidArguments(self.task, error.problems) from None
        except Unfaithful as error:
            raise self._invalid(error) from None

    def load(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """The positional and named arguments to call the function with.

        Raises InvalidArguments when the stored text does not fit the function (any more).
        """
        if text == NO_ARGUMENTS and self._needs_nothing:
            return [], {}
        try:
            return self._binder.unbind(self._fields.read(text))
        except Unfaithful as error:
            raise self._invalid(error) from None

    def canonical(self, text: str) -> str:
        """The stored arguments as a text that is equal for equal arguments, in every process.

        Raises InvalidArguments when the stored text does not fit the function (any more).
        """
        try:
            return self._fields.canonical(text)
        except Unfaithful as error:
            raise self._invalid(error) from None

    def bind_some(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """Arguments by parameter name, of a call that may leave any of them out; not validated.

        Raises InvalidArguments naming every one that the task does not take.
        """
        try:
            return self._binder.bind_some(args, kwargs)
        except Misfit as error:
            raise InvalidArguments(self.task, error.problems) from None

    def values(self, text: str) -> dict[str, Any]:
        """The stored arguments by parameter name, with the defaults of those left out.

        Raises InvalidArguments when the stored text does not fit the function (any more).
        """
        try:
            stored = self._fields.read(text)
        except Unfaithful as error:
            raise self._invalid(error) from None
        defaults = {
            one.name: _EMPTY[one.kind]() if one.is_variadic else one.default
            for one in self._parameters
        }
        return {name: stored.get(name, default) for name, default in defaults.items()}

    @property
    def names(self) -> list[str]:
        """The parameters that a caller gives, in their order."""
        return [one.name for one in self._parameters]

    @property
    def extra(self) -> str:
        """The name of the parameter that collects the rest by name (`**kwargs`), or nothing."""
        return self._binder.extra

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of the object of parameters, as HTTP takes it."""
        return self.params_model.model_json_schema()

    @cached_property
    def params_model(self) -> type[BaseModel]:
        """A pydantic model with the task's parameters, for a typed request body."""
        fields: dict[str, Any] = {
            self._names[one.name]: (one.value_type, self._model_field(one))
            for one in self._parameters
        }
        config = BASE64 | ConfigDict(protected_namespaces=())
        title = "".join(part.capitalize() for part in self.task.replace(".", "_").split("_"))
        return create_model(f"{title}Params", __config__=config, **fields)

    def _dump(
        self,
        write: Callable[[dict[str, Any]], str],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> str:
        if self._needs_nothing and not args and not kwargs:
            return NO_ARGUMENTS
        try:
            return write(self._binder.bind(args, kwargs))
        except Misfit as error:
            raise InvalidArguments(self.task, error.problems) from None
        except Unfaithful as error:
            raise self._invalid(error) from None

    def _invalid(self, error: Unfaithful) -> InvalidArguments:
        return InvalidArguments(self.task, [self._sentence(one) for one in error.problems])

    def _sentence(self, problem: Problem) -> str:
        where = f"parameter {problem.name!r}" if problem.name else "the arguments"
        # What concerns all of them may show each.
        if problem.name in self._secret or (self._secret and not problem.name):
            return f"{where}: the value does not fit; it is secret, and not shown"
        path = f" at {problem.path}" if problem.path else ""
        return f"{where}{path}: {problem}".rstrip(".")

    @cached_property
    def _names(self) -> dict[str, str]:
        """The model's field for each parameter: its name, unless pydantic keeps that to itself."""
        return {
            one.name: f"param_{index}" if _is_reserved(one.name) else one.name
            for index, one in enumerate(self._parameters)
        }

    def _model_field(self, one: Parameter) -> Any:
        alias: dict[str, Any] = {} if self._names[one.name] == one.name else {"alias": one.name}
        if one.is_required:
            return ModelField(**alias)
        if one.is_variadic:
            return ModelField(default_factory=_EMPTY[one.kind], **alias)
        try:
            # Alone: with the others, those that a call cannot leave out would be missing.
            ExactFields("Default", {one.name: Field(one.value_type)}).write({one.name: one.default})
        except Unfaithful:  # a default that JSON cannot show
            return ModelField(default_factory=lambda: one.default, **alias)
        return ModelField(default=one.default, **alias)


def _known(task: str, secret: Collection[str], names: Sequence[str]) -> frozenset[str]:
    for one in secret:
        if one not in (*names, RESULT):
            hint = did_you_mean(one, [*names, RESULT])
            names_its_result = f"and what it returns is named {RESULT!r}"
            problem = f"the task takes no parameter {one!r}, {names_its_result}.{hint}"
            raise TaskDefinitionError(task, "secret", problem)
    return frozenset(secret)


def _is_reserved(name: str) -> bool:
    return name.startswith("_") or hasattr(BaseModel, name)


_EMPTY: dict[inspect._ParameterKind, type] = {
    inspect.Parameter.VAR_POSITIONAL: list,
    inspect.Parameter.VAR_KEYWORD: dict,
}


def _compile(task: str, parameters: Sequence[Parameter]) -> ExactFields:
    for one in parameters:
        if isinstance(one.default, FieldInfo):
            problem = (
                "its default is a field, which a plain call would hand to the function. "
                f"Write {one.name}: Annotated[type, Field(...)] = value."
            )
            raise TaskDefinitionError(task, f"parameter {one.name!r}", problem)
    try:
        return ExactFields(
            "Params", {one.name: Field(one.value_type, one.is_required) for one in parameters}
        )
    except UNUSABLE as error:
        raise _unusable(task, parameters, error) from error


def _unusable(task: str, parameters: Sequence[Parameter], error: Exception) -> TaskDefinitionError:
    """The error that names the culprit; it is looked for only now, since compiling is slow."""
    cure = "Take an id, and look the object up in the task."
    for one in parameters:
        if reason := why_unusable(one.value_type):
            problem = f"its annotation has no JSON form ({reason}). {cure}"
            return TaskDefinitionError(task, f"parameter {one.name!r}", problem)
    return TaskDefinitionError(task, "", f"its parameters have no JSON form ({error}). {cure}")
