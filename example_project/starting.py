"""The endpoints that start jobs: for programs with JSON, for the forms of the first page too."""

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from example_project import samples
from example_project.people import Owner
from example_project.places import out
from example_project.shop import Order, ShopSession, jobs
from example_project.tasks import (
    deliver_webhook,
    draw_mandelbrot,
    make_thumbnails,
    write_invoice,
    write_sales_report,
)
from example_project.tasks.fractals import WIDEST, View
from example_project.tasks.pictures import SIZES
from example_project.tasks.reports import MOST_ORDERS
from example_project.tasks.webhooks import OrderPlaced
from fastapi_jobs import BackgroundJobs

MAX_PICTURE = 20 * 1024 * 1024
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
IN_STOCK = 20
"""How many pieces one order may have."""


class Accepted(BaseModel):
    """The answer to whoever started a job: where to ask for it."""

    job_id: UUID
    url: str


class Refused(BaseModel):
    """Why nothing was started."""

    detail: str


SEE_THE_JOB: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job is stored; ask for it, or cancel it.",
        "links": {
            name: {"operationId": f"jobs_{name}", "parameters": {"id": "$response.body#/job_id"}}
            for name in ("get", "cancel")
        },
    },
    303: {"description": "The same for a browser: the page of the job."},
}
router = APIRouter(tags=["shop"], responses=SEE_THE_JOB)


def wants_page(request: Request) -> bool:
    """Whether a browser asks, not a program."""
    return "text/html" in request.headers.get("Accept", "")


def accepted(request: Request, job_id: UUID) -> Response:
    """Where to ask for this job; a browser goes to its page."""
    if wants_page(request):
        return RedirectResponse(request.url_for("job_page", job_id=job_id), 303)
    answer = Accepted(job_id=job_id, url=f"{jobs.settings.api_prefix}/{job_id}")
    return JSONResponse(answer.model_dump(mode="json"), 202)


@router.post(
    "/pictures",
    status_code=202,
    response_model=Accepted,
    responses={400: {"model": Refused}, 413: {"model": Refused}},
)
async def picture(
    request: Request,
    owner: Owner,
    file: UploadFile | SkipJsonSchema[None] = None,  # left out, but never null
    number: Annotated[int, Query(ge=0, le=999)] = 1,
) -> Response:
    """Thumbnails of an uploaded picture, or of poster `number`: a task in a child process."""
    source = samples.draw_picture(number) if file is None else await _keep(file)
    job = await make_thumbnails.using(owner=owner).enqueue(str(source), SIZES)
    return accepted(request, job.id)


@router.post("/fractals", status_code=202, response_model=Accepted)
async def fractal(
    request: Request,
    owner: Owner,
    view: View = View.WHOLE,
    width: Annotated[int, Query(ge=3, le=WIDEST)] = 600,
) -> Response:
    """A picture of the Mandelbrot set: nothing but CPU, in a child process."""
    job = await draw_mandelbrot.using(owner=owner).enqueue(view, width)
    return accepted(request, job.id)


@router.post("/reports", status_code=202, response_model=Accepted)
def report(
    request: Request,
    owner: Owner,
    month: str = "2026-01",
    orders: Annotated[int, Field(ge=0, le=MOST_ORDERS)] = 100_000,
) -> Response:
    """A sales report: blocking code in a thread, enqueued from a `def` endpoint.

    While yours of a month is unfinished, asking again gives you the same job.
    """
    # By owner: a duplicate must not lead to the job of somebody else.
    mine = write_sales_report.using(owner=owner, unique_key=f"{owner} {month} {orders}")
    return accepted(request, mine.enqueue_sync(month, orders).id)


@router.post(
    "/orders", status_code=202, response_model=Accepted, responses={409: {"model": Refused}}
)
def place_order(
    request: Request,
    owner: Owner,
    session: ShopSession,
    order: Annotated[OrderPlaced, Query()],
) -> Response:
    """An order, its webhook and its invoice: one transaction, so all three exist, or none."""
    session.add(Order(number=order.order, article=order.article, pieces=order.pieces, owner=owner))
    receiver = str(request.url_for("receive"))
    told = deliver_webhook.using(session=session, owner=owner).enqueue_sync(receiver, order)
    write_invoice.using(session=session, owner=owner).enqueue_sync(order)
    if order.pieces > IN_STOCK:
        raise HTTPException(
            409,
            f"{order.pieces} pieces are too many: we have {IN_STOCK}. "
            "The transaction was rolled back: neither the order nor its jobs exist.",
        )
    session.commit()
    return accepted(request, told.id)


@router.post("/webhooks", status_code=202, response_model=Accepted)
async def webhook(request: Request, owner: Owner, background: BackgroundJobs) -> Response:
    """Try the receiver with a made-up order: a task on the event loop, with retries.

    The job is stored after this function has returned and before the client hears of it.
    """
    receiver = str(request.url_for("receive"))
    mine = deliver_webhook.using(owner=owner)
    return accepted(request, background.add_task(mine, receiver, samples.order(0)))


async def _keep(file: UploadFile) -> Path:
    suffix = Path(file.filename or "").suffix.lower()
    # Without a suffix, the task finds out whether it is a picture.
    if suffix and suffix not in SUFFIXES:
        rule = f"Send a picture: {', '.join(SUFFIXES)}."
        where = ("body", "file")
        raise RequestValidationError(
            [{"type": "suffix", "loc": where, "msg": rule, "input": file.filename}]
        )
    content = await file.read(MAX_PICTURE + 1)
    if len(content) > MAX_PICTURE:
        raise HTTPException(413, f"A picture may have {MAX_PICTURE:,} bytes.")
    path = out("pictures", f"{uuid4().hex}{suffix}")
    path.write_bytes(content)
    return path
