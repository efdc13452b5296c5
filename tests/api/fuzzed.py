"""The app that Schemathesis and a generated client talk to; run with the URL and a port."""

import asyncio
import sys
from typing import Annotated
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from fastapi_jobs import FastAPIJobs, JobContext, task


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    city: str = "Jena"


class Parcel(BaseModel):
    """Something that was sent."""

    weight: float
    to: Address


@task(api=True, name="send", tags=["mail"])
async def send(
    weight: Annotated[float, Field(gt=0, le=1000, examples=[1.5])],
    to: Annotated[Address, Field(examples=[{"street": "Elm", "city": "Jena"}])],
    ctx: JobContext = Depends(),
) -> Parcel:
    """Send a parcel."""
    ctx.log("sent", weight=weight)
    return Parcel(weight=weight, to=to)


@task(api=True, name="sums.add", unique=True)
async def add(numbers: list[int], start: int = 0) -> int:
    """Add some numbers."""
    return start + sum(numbers)


@task(api=True, name="wait")
async def wait(parcel: UUID | None = None) -> None:
    await asyncio.sleep(600)


@task(name="secret")
async def secret(value: int) -> int:
    return value


def make_app(database_url: str) -> FastAPI:
    """An app that gives all it has."""
    app = FastAPI(title="Parcels", version="1")
    jobs = FastAPIJobs(
        database_url=database_url,
        durability="normal",
        max_wait=0.05,
        shutdown_seconds=0.1,
        lease_seconds=30,
        heartbeat_seconds=1,
        api_open=True,
    )
    jobs.init_app(app)
    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
