"""Who fills a parameter: the caller or the runner. Anything FastAPI fills is refused by name."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, Query, Request, Response, Security, WebSocket
from fastapi.security import SecurityScopes

from fastapi_jobs.errors import TaskDefinitionError
from fastapi_jobs.injection import Injected, find_injected
from fastapi_jobs.serialization import ArgumentsCodec


class Context:
    """Stands for JobContext: the injection is told which class it is."""


def get_db() -> int:
    return 1


async def by_default(a: int, ctx: Context = Depends()) -> None: ...
def by_name(a: int, ctx: Context = Depends(Context)) -> None: ...
def untyped(a, ctx=Depends(Context)): ...  # type: ignore[no-untyped-def]
def annotated(ctx: Annotated[Context, Depends()], a: int) -> None: ...
def annotated_by_name(a: int, *, ctx: Annotated[Context, "x", Depends(Context)]) -> None: ...
def postponed(a: int, ctx: "Annotated[Context, Depends()]") -> None: ...


@pytest.mark.parametrize(
    "function", [by_default, by_name, untyped, annotated, annotated_by_name, postponed]
)
def test_the_context_is_injected(function: Callable[..., Any]) -> None:
    found = find_injected("t", function, Context)
    assert found == {"ctx": Injected("ctx", Context)}
    codec = ArgumentsCodec("t", function, found)
    assert codec.load(codec.dump((), {"a": 1})) == ([], {"a": 1})
    assert "ctx" not in codec.json_schema()["properties"]


def test_without_marks_nothing_is_injected() -> None:
    def function(a: int, b: Annotated[int, "b"] = 1, *args: int, **kwargs: str) -> None: ...

    assert find_injected("t", function, Context) == {}


def db_default(db: int = Depends(get_db)) -> None: ...
def db_annotated(db: Annotated[int, Depends(get_db)]) -> None: ...
def secured(db: int = Security(get_db)) -> None: ...
def of_nothing(db=Depends()): ...  # type: ignore[no-untyped-def]
def subclass(ctx: type = Depends()) -> None: ...
def twice(ctx: Annotated[Context, Depends()] = Depends()) -> None: ...
def unmarked(ctx: Context) -> None: ...
def optional(ctx: Context | None = None) -> None: ...
def request(r: Request) -> None: ...
def maybe_request(r: Request | None = None) -> None: ...
def socket(r: WebSocket) -> None: ...
def response(r: Response) -> None: ...
def scopes(r: SecurityScopes) -> None: ...
def background(r: BackgroundTasks) -> None: ...


WRITE = "Write db: Context = Depends(), or open what you need inside the task."
NO_REQUEST = "Take what you need of it as arguments: a job runs without a request."
CASES: list[tuple[Callable[..., Any], str]] = [
    (db_default, f"'db': Depends(get_db) cannot be injected into a job; only Context can. {WRITE}"),
    (
        db_annotated,
        f"'db': Depends(get_db) cannot be injected into a job; only Context can. {WRITE}",
    ),
    (secured, "'db': Depends(get_db) cannot be injected into a job"),
    (of_nothing, f"'db': Depends() needs to know what to inject. {WRITE}"),
    (subclass, "'ctx': Depends(type) cannot be injected into a job"),
    (twice, "'ctx': Depends is given more than once. Keep it either in Annotated or as"),
    (unmarked, "'ctx': a Context is injected, not passed. Write ctx: Context = Depends()."),
    (optional, "'ctx': a Context is injected, not passed. Write ctx: Context = Depends()."),
    (request, f"'r': Request belongs to a request and cannot be injected into a job. {NO_REQUEST}"),
    (maybe_request, "'r': Request belongs to a request"),
    (socket, "'r': WebSocket belongs to a request"),
    (response, "'r': Response belongs to a request and cannot be injected into a job. Return a"),
    (scopes, "'r': SecurityScopes belongs to a request"),
    (
        background,
        "'r': BackgroundTasks belongs to a request and cannot be injected into a job. Enq",
    ),
]


@pytest.mark.parametrize(("function", "sentence"), CASES)
def test_anything_else_is_refused_with_its_cure(
    function: Callable[..., Any], sentence: str
) -> None:
    with pytest.raises(
        TaskDefinitionError, match=re.escape(f"task 'shop.job', parameter {sentence}")
    ):
        find_injected("shop.job", function, Context)


def test_a_query_default_is_refused_by_the_codec() -> None:
    def function(n: int = Query(1)) -> None: ...

    assert find_injected("t", function, Context) == {}
    with pytest.raises(TaskDefinitionError, match="its default is a field"):
        ArgumentsCodec("t", function)
