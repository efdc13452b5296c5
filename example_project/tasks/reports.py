"""A sales report: plain blocking code, so its queue runs in threads."""

import csv
import logging
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from fastapi import Depends
from pydantic import Field

from example_project.places import replace, result
from fastapi_jobs import GiveUp, JobContext, task

logger = logging.getLogger(__name__)

PRICES = {"tea": Decimal("4.20"), "coffee": Decimal("6.80"), "cup": Decimal("12.50")}
STEP = 5_000
MOST_ORDERS = 1_000_000


@dataclass(frozen=True)
class SalesReport:
    """What a report says in short."""

    path: str
    orders: int
    revenue: Decimal
    best_seller: str


@task(queue="reports", retries=2, unique=True, api=True, tags=["report"])
def write_sales_report(
    month: str,
    orders: Annotated[int, Field(ge=0, le=MOST_ORDERS)],  # anybody may ask: the disk is finite
    ctx: JobContext = Depends(),
) -> SalesReport:
    """Write every order of `month` (such as 2026-01) to a CSV file and sum them up."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise GiveUp(f"{month!r} is no month; write it as 2026-01.")
    logger.info("writing %d orders of %s", orders, month)
    path = result("reports", ctx.job_id, f"sales-{month}.csv")
    part = path.with_suffix(".part")
    sold: Counter[str] = Counter()
    with part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["order", "day", "article", "pieces", "price"])
        for number, day, article, pieces in _sales(month, orders):
            rows.writerow([number, day, article, pieces, PRICES[article]])
            sold[article] += pieces
            if number % STEP == 0:
                # A thread cannot be stopped from outside: this is where it lets itself be.
                ctx.raise_if_cancelled()
                ctx.progress(number, orders, f"day {day}")
    replace(path, part)
    revenue = sum((PRICES[article] * pieces for article, pieces in sold.items()), Decimal(0))
    ctx.log("report written", file=path.name, revenue=str(revenue))
    ctx.progress(orders, orders, "done")
    return SalesReport(str(path), orders, revenue, sold.most_common(1)[0][0] if sold else "")


def _sales(month: str, orders: int) -> Iterator[tuple[int, str, str, int]]:
    """The month's orders; a stand-in for a query, the same at every attempt."""
    chance = random.Random(month)
    articles = list(PRICES)
    for number in range(1, orders + 1):
        day = f"{month}-{1 + 28 * (number - 1) // orders:02}"
        yield number, day, chance.choice(articles), chance.randint(1, 5)
