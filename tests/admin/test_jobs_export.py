"""The list of jobs as a file."""

import csv
import io
from typing import Any
from uuid import uuid4

import psutil
import pytest
from pydantic_core import from_json

from fastapi_jobs.admin import exporting
from fastapi_jobs.listing import EVERY_JOB
from fastapi_jobs.models import JobRecord
from fastapi_jobs.store.insert import InsertJobs
from tests.admin.serving import Site, Visitor
from tests.admin.test_jobs_list import made, sign_in, site, viewer
from tests.api.tasks import PREFIX
from tests.store.driving import NOW, new_job

__all__ = ["site", "viewer"]


async def rows(visitor: Visitor, **query: Any) -> list[dict[str, str]]:
    answer = await visitor.get("/jobs/export.csv", params=query)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


async def lines(visitor: Visitor, **query: Any) -> list[dict[str, Any]]:
    answer = await visitor.get("/jobs/export.jsonl", params=query)
    assert answer.status_code == 200
    return [from_json(each) for each in answer.content.splitlines()]


async def test_what_is_in_the_files(site: Site, viewer: Visitor) -> None:
    jobs = await made(site, 2, priority=-5, tags=["b", "a"], owner="ada")
    told = await lines(viewer)
    assert [each["id"] for each in told] == jobs[::-1]
    assert told[0]["task"] == f"{PREFIX}.add"
    assert (told[0]["priority"], told[0]["owner"]) == (-5, "ada")
    assert sorted(told[0]["tags"]) == ["a", "b"]
    assert told[0]["started_at"] is None
    assert told[0]["created_at"].endswith("+00:00")
    assert (told[0]["args"], told[0]["result"]) == ({"a": 1}, None)
    found = await rows(viewer)
    assert [each["id"] for each in found] == jobs[::-1]
    assert (found[0]["priority"], found[0]["started_at"]) == ("-5", "")
    assert from_json(found[0]["tags"]) == told[0]["tags"]
    assert tuple(found[0]) == exporting.COLUMNS


async def test_secrets_are_hidden(site: Site, viewer: Visitor) -> None:
    await site.jobs.enqueue_many([sign_in.s("ada", "swordfish")])
    for name in ("csv", "jsonl"):
        text = (await viewer.get(f"/jobs/export.{name}")).text
        assert "ada" in text
        assert "swordfish" not in text


async def test_the_filters_hold(
    site: Site, viewer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "CHUNK", 2)
    mail = await made(site, 5, queue="mail")
    later = await made(site, 2, run_after=60)
    assert [each["id"] for each in await rows(viewer, queue="mail")] == mail[::-1]
    assert [each["id"] for each in await lines(viewer, status="scheduled")] == later[::-1]
    assert await rows(viewer, tag="x") == []


async def test_a_broken_filter_leads_to_the_list_that_tells_it(site: Site, viewer: Visitor) -> None:
    await made(site)
    answer = await viewer.get("/jobs/export.csv", params={"status": "faild", "queue": "mail"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/jobs-admin/jobs?status=faild&queue=mail"


async def test_no_cell_is_a_formula(site: Site, viewer: Visitor) -> None:
    await made(site, owner="=1+1")
    [row] = await rows(viewer)
    assert row["owner"] == "'=1+1"
    [line] = await lines(viewer)
    assert line["owner"] == "=1+1"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1", "＝1"])
def test_no_start_of_a_formula_is_left(text: str) -> None:
    record = JobRecord(
        id=uuid4(), task="t", queue="q", status="failed", args="{}", error=text, created_at=NOW
    )
    assert f"'{text}" in exporting.as_csv([record]).decode()


async def test_only_with_a_login(site: Site) -> None:
    async with site.visitor() as nobody:
        for name in ("csv", "jsonl"):
            assert (await nobody.get(f"/jobs/export.{name}")).status_code in (303, 401)


async def test_a_long_list_takes_little_memory(site: Site) -> None:
    store = site.jobs.runtime.store
    for _ in range(20):
        await store.write(InsertJobs([new_job(owner="o" * 200) for _ in range(1000)]))
    process, size, most = psutil.Process(), 0, 0
    before = process.memory_info().rss
    async for part in exporting.written(store, EVERY_JOB, exporting.as_csv):
        size += len(part)
        most = max(most, len(part))
    assert size > 5_000_000
    assert most < 1_000_000
    assert process.memory_info().rss - before < 30 * 2**20
