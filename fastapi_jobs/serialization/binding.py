"""From a call to values by parameter name, and back to a call."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import TaskDefinitionError, did_you_mean
from .signature import Parameter

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Misfit(ValueError):
    """A call that the parameters do not allow; `problems` holds every reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(problems))


class Binder:
    """Binds calls of one function, whose injected parameters nobody passes."""

    def __init__(
        self, task: str, parameters: Sequence[Parameter], injected: Collection[str]
    ) -> None:
        self._injected = frozenset(injected)
        own = [one for one in parameters if one.name not in self._injected]
        self._order = [one.name for one in own]
        self._positional = [one.name for one in own if one.kind in _POSITIONAL]
        self._positional_only = {
            one.name for one in own if one.kind is inspect.Parameter.POSITIONAL_ONLY
        }
        self._by_name = frozenset(one.name for one in own if one.kind in _BY_NAME)
        self._required = frozenset(one.name for one in own if one.is_required)
        self._defaults = {one.name: one.default for one in own if not one.is_variadic}
        self._rest = _named(own, inspect.Parameter.VAR_POSITIONAL)
        self.extra = _named(own, inspect.Parameter.VAR_KEYWORD)
        self._is_plain = not (self._rest or self.extra or self._positional_only)
        self._refuse_injected_by_position(task, parameters)

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The values by name, in the order of the parameters, without defaults.

        Raises Misfit with every missing, unexpected and superfluous argument.
        """
        if len(args) <= len(self._positional):
            bound = dict(zip(self._positional, args, strict=False))
            if not kwargs:
                if self._required <= bound.keys():
                    return bound
            elif kwargs.keys() <= self._by_name and bound.keys().isdisjoint(kwargs):
                bound.update(kwargs)
                if self._required <= bound.keys():
                    return {name: bound[name] for name in self._order if name in bound}
        return self._bind_with_care(args, kwargs)

    def bind_some(self, args: Sequence[object], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The same for a call that may leave out what it likes.

        Raises Misfit with every unexpected and superfluous argument.
        """
        return self._bind_with_care(args, kwargs, may_miss=True)

    def bind_named(self, values: Mapping[str, object]) -> dict[str, object]:
        """The same where every parameter is given by its name, `*args` and `**kwargs` as well.

        Raises Misfit with every missing and unexpected name.
        """
        unknown = [name for name in values if name not in self._order]
        absent = [name for name in self._order if name in self._required - values.keys()]
        problems = [self._unwelcome(name) for name in unknown]
        problems += [f"parameter {name!r} is missing" for name in absent]
        if problems:
            raise Misfit(problems)
        return {name: values[name] for name in self._order if name in values}

    def unbind(self, values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The call that the values stand for; by name wherever the function allows it."""
        if self._is_plain:
            return [], values
        kwargs = dict(values)
        rest = list(kwargs.pop(self._rest, ()))
        extra = kwargs.pop(self.extra, {})
        wanted = self._positional if rest else self._leading(kwargs)
        args = [kwargs.pop(name, self._defaults[name]) for name in wanted]
        return args + rest, kwargs | extra

    def _leading(self, values: Mapping[str, Any]) -> list[str]:
        """The positional-only parameters up to the last one that has a value."""
        only = [name for name in self._positional if name in self._positional_only]
        while only and only[-1] not in values:
            only.pop()
        return only

    def _bind_with_care(
        self, args: Sequence[object], kwargs: Mapping[str, object], *, may_miss: bool = False
    ) -> dict[str, object]:
        bound: dict[str, object] = dict(zip(self._positional, args, strict=False))
        extra: dict[str, object] = {}
        problems = []
        surplus = list(args[len(self._positional) :])
        if surplus and not self._rest:
            problems.append(self._too_many(len(args)))
        for name, value in kwargs.items():
            if name in self._by_name and name not in bound:
                bound[name] = value
            elif self.extra and name not in self._by_name and name not in self._injected:
                extra[name] = value
            else:
                problems.append(self._unwelcome(name))
        if surplus and self._rest:
            bound[self._rest] = surplus
        if extra or self.extra in self._required:
            bound[self.extra] = extra
        required = frozenset() if may_miss else self._required
        absent = [name for name in self._order if name in required - bound.keys()]
        problems += [f"parameter {name!r} is missing" for name in absent]
        if problems:
            raise Misfit(problems)
        return {name: bound[name] for name in self._order if name in bound}

    def _too_many(self, given: int) -> str:
        count = len(self._positional)
        names = f" ({', '.join(self._positional)})" if count else ""
        noun = "argument" if count == 1 else "arguments"
        return f"it takes {count} positional {noun}{names}, {given} were given"

    def _unwelcome(self, name: str) -> str:
        if name in self._injected:
            return f"parameter {name!r} is injected when the job runs; leave it out"
        if name in self._by_name:
            return f"parameter {name!r} is given twice, by position and by name"
        if name in self._positional_only:
            return f"parameter {name!r} is positional-only; give it by position"
        known = sorted(self._by_name)
        return f"there is no parameter {name[:60]!r}.{did_you_mean(name[:60], known)}".rstrip(".")

    def _refuse_injected_by_position(self, task: str, parameters: Sequence[Parameter]) -> None:
        """A call by position cannot step over a parameter that only the runner fills."""
        later = [(one.name, one.kind) for one in parameters]
        for index, (name, kind) in enumerate(later):
            if name not in self._injected:
                continue
            rest = [other for other, of in later[index:] if of is inspect.Parameter.VAR_POSITIONAL]
            if kind is inspect.Parameter.POSITIONAL_ONLY or rest:
                before = f"*{rest[0]}" if rest else "/"
                problem = f"it is injected by name. Put it after {before}."
                raise TaskDefinitionError(task, f"parameter {name!r}", problem)


def _named(parameters: Sequence[Parameter], kind: inspect._ParameterKind) -> str:
    return next((one.name for one in parameters if one.kind is kind), "")
