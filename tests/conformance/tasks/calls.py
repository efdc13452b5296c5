"""Tasks of every shape of signature, and results that cannot be kept."""

import asyncio
import os
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi_jobs import task
from fastapi_jobs.testing.conformance.both import both


@dataclass
class Place:
    """Where a function ran, and on what."""

    pid: int
    thread: int
    on_loop: bool


@both()
def add(a: int, b: int) -> int:
    return a + b


@both()
def defaults(a: int, b: int = 2, *, c: str = "c", d: list[int] | None = None) -> list[Any]:
    return [a, b, c, d]


@both()
def everything(first: int, /, second: str, *rest: int, only: bool, **more: float) -> dict[str, Any]:
    return {"first": first, "second": second, "rest": list(rest), "only": only, "more": more}


@both()
def nothing() -> None:
    return None


@both()
def unannotated(a, b=1):  # type: ignore[no-untyped-def]
    return [a, b]


@both()
def grows(items: list[int]) -> list[int]:
    """Changes its argument, which must not reach the next attempt or the caller."""
    items.append(len(items))
    return items


@both()
def at(moment: datetime, text: str = "") -> str:
    return f"{moment.isoformat()} {text}"


@both()
def returns_text(size: int) -> str:
    return "x" * size


@both()
def returns_a_set() -> Any:
    return {1, 2}


@both()
def returns_an_object() -> Any:
    return object()


@both()
def returns_the_wrong_type() -> int:
    wrong: Any = "seven"
    return wrong  # type: ignore[no-any-return]


@both()
def returns_nan() -> float:
    return float("nan")


@both(store_result=False)
def keeps_no_result(size: int) -> Any:
    return {"never": object(), "size": size}


@task
def where_sync() -> Place:
    return Place(os.getpid(), threading.get_ident(), _loop_runs())


@task
async def where_async() -> Place:
    return Place(os.getpid(), threading.get_ident(), _loop_runs())


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
