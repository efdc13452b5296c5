"""What a task takes and gives, as JSON schema and as bodies of its own for OpenAPI.

The bodies only show: arguments are validated by the task's codec, as those of `POST {prefix}` are.
"""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    create_model,
)
from pydantic.errors import PydanticUserError
from pydantic_core import CoreSchema
from pydantic_core.core_schema import definitions_schema

from fastapi_jobs.api.schemas import JobOut, Options
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.serialization.fields import BASE64

ANYTHING: dict[str, Any] = {"type": "object"}


class TaskBody(BaseModel):
    """A job of the task in the path."""

    model_config = ConfigDict(extra="forbid")

    params: dict[str, Any] = {}
    options: Options = Options()


class ShownAs:
    """An annotation: in JSON schema the value looks like another type."""

    def __init__(self, core_schema: CoreSchema) -> None:
        # Directly in the handler's hands a model would be written out, instead of referred to.
        self._core_schema = definitions_schema(core_schema, [])

    def __get_pydantic_json_schema__(
        self, _own: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(self._core_schema)


def params_schema(definition: TaskDefinition) -> dict[str, Any]:
    """The JSON schema of a task's parameters; of any object where pydantic can say no more."""
    return _or_else(definition.arguments.json_schema, ANYTHING)


def result_schema(definition: TaskDefinition) -> dict[str, Any]:
    """The JSON schema of a task's result; of anything where pydantic can say no more."""
    return _or_else(definition.result.json_schema, {})


def _or_else(schema: Callable[[], dict[str, Any]], otherwise: dict[str, Any]) -> dict[str, Any]:
    try:
        return schema()
    except PydanticUserError:  # a type of the host's own that has no JSON schema
        return otherwise


def shown_options(allowed: Collection[str]) -> Any:
    """`Options` as OpenAPI shows them: those that a request may set."""
    fields: dict[str, Any] = {
        name: (each.rebuild_annotation(), each)
        for name, each in Options.model_fields.items()
        if name in allowed
    }
    config = ConfigDict(extra="forbid")
    shown = create_model("TaskOptions", __config__=config, __doc__="Options of one job.", **fields)
    return Annotated[Options, ShownAs(shown.__pydantic_core_schema__)]


def body_of(definition: TaskDefinition, title: str, options: Any) -> type[TaskBody]:
    """The request's body of one task."""
    if params_schema(definition) == ANYTHING:
        return TaskBody
    params = definition.arguments.params_model
    is_needed = any(each.is_required() for each in params.model_fields.values())
    shown = Annotated[dict[str, Any], ShownAs(params.__pydantic_core_schema__)]
    field: Any = (shown, Field() if is_needed else Field(default={}))
    return create_model(
        f"{title}Body",
        __base__=TaskBody,
        __doc__=TaskBody.__doc__,
        params=field,
        options=(options, Options()),
    )


def job_of(definition: TaskDefinition, title: str) -> type[JobOut]:
    """The answer of one task: a job with the result that the task returns."""
    if not result_schema(definition):
        return JobOut
    shown: Any = Annotated[Any, ShownAs(_adapter(definition.result.annotation).core_schema)]
    field: Any = (shown | None, Field(default=None))
    return create_model(f"{title}Job", __base__=JobOut, __doc__=JobOut.__doc__, result=field)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=BASE64)
    except PydanticUserError:  # a model brings its own config
        return TypeAdapter(annotation)
