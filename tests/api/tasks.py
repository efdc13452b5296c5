"""The tasks of these tests."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from pydantic import BaseModel, Field

from fastapi_jobs import JobContext, Retry, Unique, task

PREFIX = "tests.api.tasks"


class Address(BaseModel):
    """A body inside a body."""

    street: str
    since: datetime


@task(api=True)
async def add(a: int, b: int = 2) -> int:
    return a + b


@task(api=True, tags=["model"])
async def move(address: Address, to: UUID) -> str:
    return f"{address.street} {address.since.year} {to}"


@task(api=True)
async def hang() -> None:
    await asyncio.sleep(600)


@task(api=True)
async def short(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@task(api=True)
async def fail(text: str) -> None:
    raise ValueError(text)


@task(api=True)
async def echo(value: str) -> str:
    return value


@task(api=True, unique=True)
async def alone(seconds: float) -> None:
    await asyncio.sleep(seconds)


@task(api=True, unique=Unique(on_conflict="reject"))
async def jealous(seconds: float) -> None:
    await asyncio.sleep(seconds)


@task
async def secret(value: int) -> int:
    return value


@task
def in_a_thread(value: int) -> int:
    return value * 2


@task(api=True, retry=Retry(max=1, delay=0.01))
async def chatty(lines: int, ctx: JobContext = Depends()) -> int:
    """Say something, fail, and say it again."""
    for number in range(lines):
        ctx.log(f"line {number} of attempt {ctx.attempt}", number=number)
    if ctx.attempt == 1:
        raise ValueError("once more")
    return lines


class Parcel(BaseModel):
    """Something that was sent."""

    weight: float
    to: list[Address] = []


@task(api=True, queue="parcels", timeout=30, retries=2)
async def send(
    weight: Annotated[float, Field(gt=0, description="In kilograms.", examples=[1.5])],
    to: Annotated[list[Address], Field(examples=[[{"street": "Elm", "since": "2020-01-01"}]])],
    label: bytes = b"",
    model_id: int = 1,
) -> Parcel:
    """Send a parcel."""
    return Parcel(weight=weight, to=to)


@task(api=True)
async def gather(first: str, *rest: int, **more: float) -> dict[str, Any]:
    return {"first": first, "rest": list(rest), "more": more}


class Pattern:
    """A type of the host's own that has no JSON schema."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, re.Pattern) else re.compile(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda it: it.pattern),
        )


@task(api=True)
async def find(pattern: Pattern, text: str) -> bool:
    assert isinstance(pattern, re.Pattern)
    return bool(pattern.search(text))


@task(api=True, name="tests/odd name {}")
async def odd(value: int) -> int:
    return value


@task(api=True)
async def shout(text: str, ctx: JobContext = Depends()) -> None:
    ctx.log("loud", text=text)
