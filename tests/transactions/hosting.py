"""A host with a table and sessions of its own, beside our tables in one database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar

from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import Field, Session, SQLModel

from fastapi_jobs import Unique, task

RAN: list[int] = []


class Order(SQLModel, table=True):
    """The host's own row."""

    __tablename__: ClassVar[str] = "orders"
    id: int = Field(primary_key=True)


@task
async def ship(order: int) -> int:
    """Note that the order was shipped."""
    RAN.append(order)
    return order


@task(unique=True)
async def bill(order: int) -> int:
    """Only one bill an order at a time."""
    return order


@task(unique=Unique(on_conflict="reject"))
async def bill_strictly(order: int) -> int:
    """A second bill is an error."""
    return order


def async_url(url: str) -> str:
    """The same database for SQLAlchemy's asyncio."""
    return url.replace("sqlite://", "sqlite+aiosqlite://")


@contextmanager
def sync_session(url: str) -> Iterator[Session]:
    """A SQLModel session of the host's own engine, its table made."""
    engine = create_engine(make_url(url))
    SQLModel.metadata.create_all(engine, tables=[Order.__table__])  # type: ignore[attr-defined]
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


@asynccontextmanager
async def async_session(url: str) -> AsyncIterator[AsyncSession]:
    """An AsyncSession of the host's own engine, its table made."""
    with sync_session(url):
        pass
    engine = create_async_engine(async_url(url))
    try:
        async with AsyncSession(engine) as session:
            yield session
    finally:
        await engine.dispose()
