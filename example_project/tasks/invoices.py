"""The invoice of an order: it is enqueued in the order's own transaction."""

from dataclasses import dataclass
from decimal import Decimal

from fastapi import Depends

from example_project.places import replace, result
from example_project.tasks.reports import PRICES
from example_project.tasks.webhooks import OrderPlaced
from fastapi_jobs import GiveUp, JobContext, task


@dataclass(frozen=True)
class Invoice:
    """What a customer has to pay."""

    path: str
    order: str
    total: Decimal


@task(queue="reports", retries=2, tags=["invoice"])
def write_invoice(order: OrderPlaced, ctx: JobContext = Depends()) -> Invoice:
    """Write the invoice of an order to a text file."""
    if order.article not in PRICES:
        raise GiveUp(f"{order.article!r} has no price; we sell {', '.join(PRICES)}.")
    price = PRICES[order.article]
    total = price * order.pieces
    path = result("invoices", ctx.job_id, "invoice.txt")
    part = path.with_suffix(".part")
    part.write_text(
        f"Order {order.order}\n{order.pieces} × {order.article} at {price}\nTo pay: {total}\n",
        encoding="utf-8",
    )
    replace(path, part)
    return Invoice(str(path), order.order, total)
