"""What `using(...)` may change for one job, checked when it is said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.options import (
    checked_backend,
    checked_moment,
    checked_priority,
    checked_queue,
    checked_tags,
)
from fastapi_jobs.runtime import Runtime

Moment = datetime | timedelta | float
METADATA_BYTES = 16_384
UNIQUE_KEY_LENGTH = 1000


@dataclass(frozen=True, slots=True)
class Using:
    """The options of one enqueue; None leaves the task's own in force."""

    queue: str | None = None
    priority: int | None = None
    run_after: Moment | None = None
    expires: Moment | None = None
    backend: str | None = None
    unique_key: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    meta: str | None = None
    session: Any = None
    runtime: Runtime | None = None

    def changed(self, options: Mapping[str, Any]) -> "Using":
        """A copy with other options: `tags` and `metadata` are added, the rest replaces.

        Raises:
            InvalidOption: a value breaks its rule.
        """
        changes: dict[str, Any] = {}
        for name, value in options.items():
            if value is not None:
                changes[_FIELDS.get(name, name)] = _CHECKS[name](value)
        if "tags" in changes:
            changes["tags"] = checked_tags([*self.tags, *changes["tags"]])
        if "meta" in changes and self.meta is not None:
            merged = from_json(self.meta) | from_json(changes["meta"])
            changes["meta"] = _metadata(merged)
        return replace(self, **changes)


_FIELDS = {"metadata": "meta", "app": "runtime"}


def _moment(option: str) -> Callable[[Any], Moment]:
    def check(value: Any) -> Moment:
        checked_moment(option, value, datetime.now().astimezone())
        return value  # type: ignore[no-any-return]  # seconds count from the enqueue, not from here

    return check


def _unique_key(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= UNIQUE_KEY_LENGTH:
        rule = f"give a text of 1 to {UNIQUE_KEY_LENGTH} characters."
        raise InvalidOption("unique_key", value, rule)
    return value


def _owner(value: Any) -> str:
    text = str(value)
    if not 1 <= len(text) <= 200 or not text.isprintable():
        raise InvalidOption("owner", value, "give a text of 1 to 200 printable characters.")
    return text


def _metadata(value: Any) -> str:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InvalidOption("metadata", value, "give a mapping with text keys.")
    try:
        text = to_json(dict(value), inf_nan_mode="constants").decode()
        exact = from_json(text, allow_inf_nan=False) == dict(value)
    except (PydanticSerializationError, ValueError) as error:
        raise InvalidOption("metadata", value, f"give JSON values only: {error}") from error
    if not exact:
        raise InvalidOption("metadata", value, "give JSON values; this would come back changed.")
    if len(text) > METADATA_BYTES:
        raise InvalidOption(
            "metadata", "…", f"at most {METADATA_BYTES:,} bytes; it has {len(text):,}."
        )
    return text


def _session(value: Any) -> Any:
    if not isinstance(value, Session | AsyncSession):
        raise InvalidOption("session", value, "give a Session or an AsyncSession.")
    return value


def runtime_of(value: Any) -> Runtime:
    """The runtime of a FastAPIJobs.

    Raises:
        InvalidOption: `value` is none.
    """
    runtime = value if isinstance(value, Runtime) else getattr(value, "runtime", None)
    if not isinstance(runtime, Runtime):
        raise InvalidOption("app", value, "give a FastAPIJobs.")
    return runtime


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "queue": checked_queue,
    "priority": checked_priority,
    "run_after": _moment("run_after"),
    "expires": _moment("expires"),
    "backend": checked_backend,
    "unique_key": _unique_key,
    "owner": _owner,
    "tags": checked_tags,
    "metadata": _metadata,
    "session": _session,
    "app": runtime_of,
}
