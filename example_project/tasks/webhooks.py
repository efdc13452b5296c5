"""A webhook: it waits for the network and is repeated, so it runs on the event loop."""

import httpx2
from fastapi import Depends
from pydantic import BaseModel

from fastapi_jobs import GiveUp, JobContext, Retry, RetryLater, task

GONE = 410


class OrderPlaced(BaseModel):
    """What a webhook tells about an order."""

    order: str
    article: str
    pieces: int


class Delivery(BaseModel):
    """How a webhook arrived."""

    status: int
    attempts: int


@task(
    retry=Retry(max=8, on=(httpx2.HTTPError,), delay=0.2, cap=10.0),
    timeout=10,
    api=True,
    tags=["webhook"],
)
async def deliver_webhook(url: str, event: OrderPlaced, ctx: JobContext = Depends()) -> Delivery:
    """POST `event` to `url` until it is accepted."""
    # A crash after the POST repeats it: by this key the receiver knows the job again.
    headers = {"Idempotency-Key": str(ctx.job_id)}
    async with httpx2.AsyncClient(timeout=5.0) as client:
        response = await client.post(url, json=event.model_dump(), headers=headers)
    ctx.log("receiver answered", status=response.status_code, attempt=ctx.attempt)
    if response.status_code == GONE:
        raise GiveUp(f"{url} is gone for good.")
    if response.is_server_error and "Retry-After" in response.headers:
        raise RetryLater(float(response.headers["Retry-After"]), f"{url} is busy")
    response.raise_for_status()
    return Delivery(status=response.status_code, attempts=ctx.attempt)
