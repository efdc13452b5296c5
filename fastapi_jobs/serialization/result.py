"""The result of one task: written when it returns, read when somebody asks."""

from collections.abc import Callable
from typing import Any

from ..errors import NotSerializable, TaskDefinitionError
from .fields import UNUSABLE, ExactFields, Field, Unfaithful, why_unusable
from .signature import read_result

_NAME = "result"
_HEAD = '{"result":'


class ResultCodec:
    """Writes and reads what one task returns, through its return annotation.

    Raises TaskDefinitionError when that annotation has no JSON form.
    """

    def __init__(self, task: str, function: Callable[..., Any]) -> None:
        self.task = task
        self._annotation = read_result(task, function)
        try:
            self._fields = ExactFields("Result", {_NAME: Field(self._annotation)})
        except UNUSABLE as error:
            problem = f"it has no JSON form ({why_unusable(self._annotation)})."
            raise TaskDefinitionError(task, "the return annotation", problem) from error

    def dump(self, value: object) -> str:
        """JSON text of the result. Raises NotSerializable when it would not come back exactly."""
        if value is None and self._annotation is Any:
            return "null"
        try:
            return self._fields.write({_NAME: value})[len(_HEAD) : -1]
        except Unfaithful as error:
            found = error.problems[0]
            where = f" (at {found.path})" if found.path else ""
            raise NotSerializable(
                self.task, f"would not come back as it is{where}: {found.text}"
            ) from None

    def load(self, text: str) -> Any:
        """The result. Raises NotSerializable when the stored text does not fit (any more)."""
        try:
            return self._fields.read(f"{_HEAD}{text}}}")[_NAME]
        except Unfaithful as error:
            raise NotSerializable(
                self.task, f"is stored in a form that its code does not take now: {error}"
            ) from None

    @property
    def annotation(self) -> Any:
        """The type of what the task returns; `Any` where it does not say, or says nothing."""
        return self._annotation

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of the result."""
        return self._fields.json_schema(_NAME)
