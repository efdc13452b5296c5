"""Tasks for the pages of jobs and tasks."""

import asyncio
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge
from fastapi import Depends
from pydantic import BaseModel, StringConstraints

from fastapi_jobs import JobContext, Unique, task


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    sku: str
    count: int = 1


@task
async def add(a: int, b: Annotated[int, Ge(1)] = 1, ctx: JobContext = Depends()) -> int:
    """Add two numbers."""
    ctx.log("adding", a=a, b=b)
    return a + b


@task
async def break_down(order: str, ctx: JobContext = Depends()) -> None:
    ctx.log("about to break", order=order)
    raise LookupError(f"no such order: {order}")


@task
async def stay(ctx: JobContext = Depends()) -> None:
    ctx.progress(3, 10, "waiting for good")
    await asyncio.Event().wait()


@task(secret=["password"])
async def log_in(user: str, password: Annotated[str, StringConstraints(min_length=4)]) -> str:
    return user


@task(secret=["return"])
async def make_key(name: str) -> dict[str, str]:
    return {"key": f"of {name}, and secret"}


@task
async def everything(
    needed: str,
    colour: Colour = Colour.RED,
    copies: int = 2,
    price: Decimal = Decimal("1.5"),
    urgent: bool = False,
    note: str | None = None,
    items: list[Item] = [],  # noqa: B006
    *more: int,
    ctx: JobContext = Depends(),
    **rest: str,
) -> None: ...


@task(unique=Unique(on_conflict="reject"))
async def only_one(key: str) -> None: ...


@task
async def chatter(lines: int, ctx: JobContext = Depends()) -> None:
    for number in range(lines):
        ctx.log(f"line {number}", number=number)


MARKUP = "<script>alert('x')</script>"
