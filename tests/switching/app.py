"""The app: its settings come from a file and from variables, as those of any app do."""

from uuid import UUID

from fastapi import FastAPI

from fastapi_jobs import BackgroundJobs, FastAPIJobs
from tests.switching.tasks import Parcel, repack, returns

jobs = FastAPIJobs()
app = FastAPI()
jobs.init_app(app, permission=lambda request, action, job: True, owner=lambda request: "ada")


@app.post("/pair", status_code=202)
async def pair(value: int) -> list[UUID]:
    """An endpoint of the app's own: two jobs in one transaction."""
    mine = returns.awaited.using(owner="ben", metadata={"from": "pair"}, priority=7)
    made = await jobs.enqueue_many([mine.s(value), returns.sync.s(value + 1)])
    return [each.id for each in made]


@app.post("/behind", status_code=202)
async def behind(parcel: Parcel, background: BackgroundJobs) -> list[UUID]:
    """Another: a job that is stored after the endpoint returned."""
    return [background.add_task(repack.sync, parcel, label="behind")]


@app.post("/blocking", status_code=202)
def blocking(value: int) -> list[UUID]:
    """A `def` endpoint."""
    return [returns.sync.using(tags=["blocking"]).enqueue_sync(value).id]
