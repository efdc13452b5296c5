"""The tasks of the example, for each way to run them."""

from example_project.tasks.fractals import draw_mandelbrot
from example_project.tasks.invoices import write_invoice
from example_project.tasks.pictures import make_thumbnails
from example_project.tasks.reports import write_sales_report
from example_project.tasks.webhooks import deliver_webhook

__all__ = [
    "deliver_webhook",
    "draw_mandelbrot",
    "make_thumbnails",
    "write_invoice",
    "write_sales_report",
]
