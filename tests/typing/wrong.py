"""Calls that both type checkers must refuse, each line marked with WRONG."""

from fastapi_jobs import FastAPIJobs
from tests.typing.right import report, send


async def wrong() -> None:
    """Every call has one mistake."""
    await send.enqueue(1)  # WRONG
    await send.enqueue()  # WRONG
    await send.enqueue("a", cuont=2)  # WRONG
    await send.enqueue("a", 2, None)  # WRONG
    send.s("a", "b")  # WRONG
    send.s()  # WRONG
    await send.using(queue="x").enqueue(1)  # WRONG
    send.using(queue=1)  # WRONG
    send.using(qeue="x")  # WRONG
    report.enqueue_sync("2026")  # WRONG
    report("2026")  # WRONG
    number: str = await (await send.enqueue("a")).result()  # WRONG
    del number
    await FastAPIJobs().list(None)  # WRONG
