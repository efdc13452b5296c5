"""Words and times that jobs are looked for by; what no job can have is refused, not searched."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("printable", "give printable characters.")
    return value


def _text(value: object) -> object:
    """A number would be taken for a time of 1970."""
    if not isinstance(value, str) or value.strip("+-. ").replace(".", "").isdigit():
        raise PydanticCustomError("moment", 'give a time such as "2030-01-31T08:00:00Z".')
    return value


def _in_calendar(value: datetime) -> datetime:
    if not 1970 <= value.year < 9999:
        raise PydanticCustomError("calendar", "give a time between the years 1970 and 9998.")
    return value


def absent() -> Any:
    """The default of what may be left out but may not be null: None.

    OpenAPI then shows neither a null nor a default, which a generated client would send.
    """
    return None


Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Moment = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_in_calendar)]
Cursor = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$", "title": "Cursor"})
]
"""Judged by the store, which makes them."""
