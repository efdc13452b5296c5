"""What the pages say about a job, in words."""

from collections.abc import Mapping
from typing import Any

from example_project.tasks.fractals import Fractal
from example_project.tasks.invoices import Invoice
from example_project.tasks.pictures import Thumbnail
from example_project.tasks.reports import SalesReport
from example_project.tasks.webhooks import Delivery
from fastapi_jobs import Job

TITLES = {
    "deliver_webhook": "Webhook",
    "draw_mandelbrot": "Mandelbrot set",
    "make_thumbnails": "Thumbnails",
    "write_invoice": "Invoice",
    "write_sales_report": "Sales report",
}
STEPS = 20
"""Log lines that a page shows."""


def title(job: Job[Any]) -> str:
    """What a person calls this job."""
    name = job.task.rpartition(".")[2]
    return TITLES.get(name, name)


def sentence(result: object) -> str:
    """A result in one sentence."""
    match result:
        case [Thumbnail(), *_]:
            return f"{len(result)} thumbnails were made."
        case Fractal(width=width, height=height):
            return f"{width * height:,} points were computed."
        case SalesReport(orders=orders, revenue=revenue, best_seller=best):
            return f"{orders:,} orders brought {revenue:,}; {best or 'nothing'} sold best."
        case Delivery(status=status, attempts=attempts):
            return f"The receiver answered {status} to attempt {attempts}."
        case Invoice(order=order, total=total):
            return f"Order {order} costs {total}."
    return ""


async def steps(job: Job[Any]) -> list[str]:
    """The log lines of its attempts, the oldest first."""
    lines = await job.logs(limit=STEPS)
    return [f"Attempt {line.attempt}: {line.message}{_in_words(line.fields)}" for line in lines]


def _in_words(fields: Mapping[str, Any]) -> str:
    return "".join(f", {name} {value}" for name, value in fields.items() if name != "attempt")
