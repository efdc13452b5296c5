"""The workers, what they run, and the switch that quiets one."""

import pytest

from fastapi_jobs.clock import uuid7
from fastapi_jobs.models import WorkerRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.audit import list_audit
from tests.admin.board import waits
from tests.admin.conftest import Login
from tests.admin.serving import NAMES, Site


async def worker_of(site: Site) -> WorkerRecord:
    [worker] = await site.jobs.runtime.store.read(queries.get_workers)
    return worker


@pytest.mark.parametrize("role", NAMES)
@pytest.mark.parametrize("change", ["quiet", "unquiet"])
async def test_who_may_quiet(site: Site, login: Login, role: str, change: str) -> None:
    worker = await worker_of(site)
    answer = await (await login(role)).change(f"/workers/{worker.id}/{change}")
    page = await site.jobs.runtime.store.read(list_audit, target=str(worker.id))
    if role != "admin":
        assert (answer.status_code, list(page.items)) == (403, [])
        assert not (await worker_of(site)).quiet
        return
    assert answer.headers["location"] == "/jobs-admin/workers"
    [entry] = page.items
    assert (entry.who, entry.action) == ("anna", "quiet")
    assert (await worker_of(site)).quiet == (change == "quiet")


async def test_a_quiet_worker_says_so(site: Site, login: Login) -> None:
    anna, worker = await login("admin"), await worker_of(site)
    assert "A person quieted it" not in (await anna.get("/workers")).text
    await anna.change(f"/workers/{worker.id}/quiet")
    page = (await anna.get("/workers")).text
    assert "A person quieted it" in page
    assert f"/workers/{worker.id}/unquiet" in page
    assert "unquiet" not in (await (await login("viewer")).get("/workers")).text


async def test_what_runs_now(site: Site, login: Login) -> None:
    job = await waits.enqueue()
    page = (await (await login("viewer")).get("/workers")).text
    assert f"/jobs-admin/jobs/{job.id}" in page
    worker = await worker_of(site)
    assert f"{worker.host}:{worker.pid}" in page
    assert "1</a> of" in page


async def test_a_worker_that_is_gone(site: Site, login: Login) -> None:
    answer = await (await login("admin")).change(f"/workers/{uuid7()}/quiet")
    assert answer.status_code == 404
    assert "This worker is gone" in answer.text
