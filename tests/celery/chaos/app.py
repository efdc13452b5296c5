"""The API process of the chaos: an ordinary app with our router, served by uvicorn."""

import logging

from fastapi import FastAPI

from fastapi_jobs import FastAPIJobs

logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
jobs = FastAPIJobs()
app = FastAPI(lifespan=jobs.lifespan)
app.include_router(jobs.router(permission=lambda request, action, job: True))


@app.get("/ready")
async def ready() -> dict[str, bool]:
    """Answers once it is started."""
    return {"ready": True}
