"""A task that kills its process: its own child, or the whole worker."""

import asyncio
import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fastapi_jobs import FastAPIJobs, Job, JobFilter, JobStatus
from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.status import AttemptOutcome
from fastapi_jobs.store.moves import EditJob
from fastapi_jobs.testing.conformance.both import AnyTask
from fastapi_jobs.testing.conformance.gate import LIMIT, Gate
from tests.celery_worker import CeleryWorker
from tests.conformance.rig import AWAY, CRASH_CAP, Rig
from tests.conformance.tasks import calls, ends, flow

pytestmark = pytest.mark.asyncio(loop_scope="package")

ROOT = Path(__file__).parent.parent.parent
CRASHED, SUCCEEDED = AttemptOutcome.CRASHED, AttemptOutcome.SUCCEEDED


async def in_another_host(rig: Rig, *wanted: tuple[AnyTask, list[Any]]) -> list[Job[Any]]:
    """Run jobs in a host of their own until it has died of them; the jobs, oldest first."""
    settings = rig.settings | {"queues": {}, "observers": []}
    if rig.can.is_remote:
        return await in_another_worker(rig, settings, *wanted)
    named = [
        (f"{task.definition.module}.{task.definition.function.__name__}", args)
        for task, args in wanted
    ]
    command = [text for name, args in named for text in (name, json.dumps(args))]
    host = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.conformance.host", json.dumps(settings), AWAY, *command),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(host.communicate(), 4 * LIMIT)
    page, _ = await rig.jobs.list(JobFilter(queue=AWAY), limit=max(len(wanted), 1))
    assert host.returncode in (7, -9), f"{page} survived: {out.decode()}"
    return list(reversed(page))


async def in_another_worker(
    rig: Rig, settings: dict[str, Any], *wanted: tuple[AnyTask, list[Any]]
) -> list[Job[Any]]:
    """The same where another Celery worker, with queues of its own, is what dies."""
    settings = settings | {"name": "other", "queues": {AWAY: {}}}
    with TemporaryDirectory() as folder:
        worker = CeleryWorker(Path(folder), settings, "--queue", AWAY)
        await asyncio.to_thread(worker.start)
        async with FastAPIJobs(**settings) as other:
            for task, args in wanted:
                await task.using(queue=AWAY, app=other).enqueue(*args)
            # A message that the worker before it took into its death is published again after two
            # thirds of a lease, as is seen at every third.
            await asyncio.to_thread(worker.process.wait, 4 * LIMIT)
    page, _ = await rig.jobs.list(JobFilter(queue=AWAY), limit=max(len(wanted), 1))
    return list(reversed(page))


async def crash(rig: Rig, lane: str, task: AnyTask, *args: Any) -> Job[Any]:
    """A job that has killed its process once, or is about to; it is served here from now on."""
    if not rig.can.shares_process:
        return await task.using(queue=lane).enqueue(*args)
    [job] = await in_another_host(rig, (task, list(args)))
    await rig.until(job, JobStatus.QUEUED, JobStatus.FAILED)
    await serve_here(rig, lane, job)
    return job


async def serve_here(rig: Rig, lane: str, *jobs: Job[Any]) -> None:
    """Move jobs that wait for the other host into a queue that the app of these tests serves."""
    for job in jobs:
        with suppress(IllegalMove):  # it has failed for good
            change = EditJob(job.id, datetime.now(UTC), {"queue": lane})
            await rig.jobs.runtime.store.write(change)


async def test_a_crash_is_charged_and_the_job_runs_again(rig: Rig, lane: str) -> None:
    job = await crash(rig, lane, ends.dies_once, rig.pid)
    done = await job.wait(LIMIT)
    assert (done.status, await done.result()) == (JobStatus.SUCCEEDED, "attempt 2")
    assert await rig.outcomes(job) == [CRASHED, SUCCEEDED]
    assert (await rig.record(job)).crashes == 1


async def test_a_job_that_may_not_crash_fails_at_once(rig: Rig, lane: str) -> None:
    job = await crash(rig, lane, ends.dies_for_good_once, rig.pid)
    done = await job.wait(LIMIT)
    assert (done.status, done.attempt) == (JobStatus.FAILED, 1)
    assert await rig.outcomes(job) == [CRASHED]
    assert done.error is not None
    assert "the task has on_crash='fail'" in done.error
    if rig.can.kills:
        assert "was ended by signal SIGKILL" in done.error
    # The next job runs, and this one may be tried again.
    assert await rig.result(calls.add.sync, 1, 1) == 2
    if rig.can.shares_process:
        return
    again = await (await job.retry()).wait(LIMIT)
    assert (again.status, again.attempt) == (JobStatus.SUCCEEDED, 2)
    assert (await rig.record(job)).crashes == 0


async def test_a_job_that_crashes_again_and_again_fails(rig: Rig, lane: str) -> None:
    if rig.can.shares_process:
        [job] = await in_another_host(rig, (ends.dies_async, ["exit", rig.pid]))
        await rig.until(job, JobStatus.QUEUED)
        await in_another_host(rig)
    else:
        job = await ends.dies_async.enqueue("exit", rig.pid)
    done = await job.wait(LIMIT)
    assert (done.status, done.attempt) == (JobStatus.FAILED, CRASH_CAP)
    assert await rig.outcomes(job) == [CRASHED] * CRASH_CAP
    record = await rig.record(job)
    assert (record.crashes, record.failures) == (CRASH_CAP, 0)
    assert done.error is not None
    assert f"died {CRASH_CAP} times while it ran; max_crashes is {CRASH_CAP}" in done.error


async def test_others_are_not_charged(rig: Rig, lane: str, gate: Gate) -> None:
    if rig.can.shares_process:
        innocent, culprit = await in_another_host(
            rig, (flow.waits_sync, [str(gate)]), (ends.dies_at_gate, [str(gate), rig.pid])
        )
        gate.open()
        for job in (innocent, culprit):
            await rig.until(job, JobStatus.QUEUED)
        await serve_here(rig, lane, innocent, culprit)
    else:
        innocent = await rig.at_gate(flow.waits_sync, gate)
        culprit = await ends.dies_once.enqueue(rig.pid)
        await culprit.wait(LIMIT)
        assert len(await rig.attempts(innocent)) == 1
        gate.open()
    for job in (innocent, culprit):
        assert (await job.wait(LIMIT)).status is JobStatus.SUCCEEDED
    assert (await rig.record(innocent)).crashes == 0
