"""What leaves the server of a job's arguments and result: nothing that its task calls secret."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.concurrency import run_in_threadpool

from fastapi_jobs.registry import registry
from fastapi_jobs.serialization.arguments import RESULT

HIDDEN = "•••"
"""What stands for a secret value."""

QUICK = 100_000
"""Characters of JSON that the event loop may read and write; longer ones go to a thread."""


def secrets_of(task: str) -> Collection[str] | None:
    """The secret parameters of a task, and "return" where its result is secret too; None where the
    task is not known here, and so anything may be.
    """
    definition = registry.get(task)
    return None if definition is None else definition.options.secret


def secret_parameters(task: str) -> Collection[str]:
    """The secret parameters alone."""
    return [each for each in secrets_of(task) or () if each != RESULT]


def shown_result(task: str, result: str | None) -> str | None:
    """The stored result, JSON, as it may be shown."""
    secrets = secrets_of(task)
    is_secret = secrets is None or RESULT in secrets
    return f'"{HIDDEN}"' if result is not None and is_secret else result


def shown_arguments(task: str, args: str) -> Any:
    """The stored arguments as they may be shown: secret ones, and all of a task that is not known
    in this process, are "•••".
    """
    values = from_json(args)
    secrets = secrets_of(task)
    if not isinstance(values, dict):
        return HIDDEN if secrets is None else values
    return {
        name: HIDDEN if secrets is None or name in secrets else value
        for name, value in values.items()
    }


def shown_text(task: str, args: str, *, indent: int | None = 2) -> str:
    """The same as JSON text."""
    return to_json(shown_arguments(task, args), indent=indent).decode()


async def read_text(task: str, args: str) -> str:
    """The same, without holding up the event loop."""
    if len(args) <= QUICK:
        return shown_text(task, args)
    return await run_in_threadpool(shown_text, task, args)


def with_secrets(task: str, edited: Mapping[str, Any], args: str) -> dict[str, Any]:
    """Edited arguments of a copy: what was left as "•••" is what the job has."""
    stored = from_json(args)
    secrets = secrets_of(task) or ()
    return {
        name: stored[name] if name in secrets and name in stored and value == HIDDEN else value
        for name, value in edited.items()
    }
