"""The shop's own database: its orders lie beside the jobs, so one transaction can hold both."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated

from fastapi import Depends
from sqlalchemy import Engine, NullPool
from sqlmodel import Field, Session, SQLModel, create_engine

from example_project.places import SETTINGS
from fastapi_jobs import FastAPIJobs

jobs = FastAPIJobs(SETTINGS)


class Order(SQLModel, table=True):
    """An order that was accepted."""

    __tablename__ = "shop_orders"

    id: int | None = Field(default=None, primary_key=True)
    number: str
    article: str
    pieces: int
    owner: str = Field(index=True)
    placed_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


def open_session() -> Iterator[Session]:
    """A session on the database of the jobs; what is not committed is rolled back."""
    with Session(_engine(jobs.settings.database_url)) as session:
        yield session


ShopSession = Annotated[Session, Depends(open_session)]


@cache
def _engine(url: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool)
    SQLModel.metadata.create_all(engine)
    return engine
