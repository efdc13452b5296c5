"""The overview tells what goes on, and what needs a person."""

import json
from datetime import timedelta
from typing import Any

import pytest

from fastapi_jobs.clock import shift_clock
from tests.admin.board import broken, fine, waits
from tests.admin.conftest import Login
from tests.admin.serving import Site, Visitor


async def overview(visitor: Visitor, **query: str) -> str:
    page = await visitor.get("/overview", params=query)
    assert page.status_code == 200, page.text
    return page.text


def chart_of(page: str) -> dict[str, Any]:
    source = page.partition('id="throughput-data">')[2].partition("</script>")[0]
    chart: dict[str, Any] = json.loads(source)
    return chart


async def end(site: Site, *, good: int = 0, bad: int = 0) -> None:
    """Let jobs end."""
    jobs = await site.jobs.enqueue_many(
        [fine.s() for _ in range(good)] + [broken.s("The <b>mail</b> server") for _ in range(bad)]
    )
    for job in jobs:
        await job.wait(timeout=20)


@pytest.mark.parametrize("span", ["1h", "24h", "", "for ever"])
async def test_throughput(site: Site, login: Login, span: str) -> None:
    await end(site, good=3, bad=2)
    page = await overview(await login("viewer"), span=span)
    ended = chart_of(page)["ended"]
    assert {name: sum(counts) for name, counts in ended.items()} == {
        "succeeded": 3,
        "failed": 2,
        "cancelled": 0,
    }
    assert len(ended["failed"]) == (96 if span == "24h" else 60)
    assert "The same as a table" in page
    assert "All is well" in page


async def test_failing_tasks_come_first_with_their_last_error(site: Site, login: Login) -> None:
    await end(site, good=5, bad=1)
    page = await overview(await login("viewer"))
    assert page.index("board.broken</a>") < page.index("board.fine</a>")
    assert "ValueError: The &lt;b&gt;mail&lt;/b&gt; server" in page
    assert "/jobs-admin/jobs?task=tests.admin.board.broken&amp;status=failed" in page


async def test_it_says_so_where_nothing_ran(login: Login) -> None:
    page = await overview(await login("viewer"))
    assert "No task has run in the last 24 hours" in page
    assert "no due job waits" in page


async def test_a_paused_queue_is_a_warning(site: Site, login: Login) -> None:
    admin = await login("admin")
    await admin.change("/queues/pause", queue="default", reason="The shop moves")
    await fine.enqueue()
    page = await overview(admin)
    assert "Queue &#39;default&#39; is paused by anna" in page
    assert "(The shop moves); 1 job waits in it." in page


async def test_long_waits_are_told(site: Site, login: Login) -> None:
    await (await login("admin")).change("/queues/limits", queue="reports", max_running="1")
    await site.jobs.enqueue_many([waits.s() for _ in range(3)])
    shift_clock(timedelta(minutes=10))
    try:
        page = await overview(await login("viewer"))
    finally:
        shift_clock(timedelta())
    assert "The oldest due job of queue &#39;reports&#39; has waited for 10 min" in page


async def test_trouble_is_told(site: Site, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = type(site.jobs.runtime)
    monkeypatch.setattr(runtime, "broker_trouble", "no route to rabbit:5672")
    monkeypatch.setattr(runtime, "redis_trouble", "connection refused")
    page = await overview(await login("viewer"))
    assert "The broker cannot be told of jobs; they wait: no route to rabbit:5672" in page
    assert "Other processes hear of jobs only by polling: connection refused" in page
