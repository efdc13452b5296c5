"""What a running app deletes by itself, and what it keeps."""

import pytest

from fastapi_jobs import FastAPIJobs, GiveUp, JobFilter, task, worker
from fastapi_jobs.clock import utc_now
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.store.audit import Audit, list_audit
from fastapi_jobs.testing.conformance.gate import eventually

LIMIT = 60.0


@task
async def succeeds() -> None: ...


@task
async def fails() -> None:
    raise GiveUp("kept for a while")


async def test_a_running_app_deletes_what_is_kept_no_longer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PRUNE_SECONDS", 0.0)
    kept = {"succeeded": 0.01, "audit": 0.01}
    async with FastAPIJobs(
        database_url=database_url, migrate=True, heartbeat_seconds=0.05, retention=kept
    ) as jobs:
        store = jobs.runtime.store
        made = await jobs.enqueue_many([succeeds.s(), fails.s(), succeeds.s()])
        await store.write(Audit(AuditRecord(at=utc_now(), who="ann", action="log in")))

        async def is_gone() -> bool:
            found, _ = await jobs.list(JobFilter())
            page = await store.read(list_audit)
            return [each.id for each in found] == [made[1].id] and page.items == []

        await eventually(is_gone, "only the job that failed to be left")
        assert "kept for a while" in str((await made[1].wait(LIMIT)).error)
