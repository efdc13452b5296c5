"""Begin, progress, logs, ends and releases: all behind the fence (law 3)."""

import asyncio
from typing import Any

import pytest

from fastapi_jobs import JobFilter
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store import queries
from fastapi_jobs.store.finish import (
    BeginAttempt,
    LogLine,
    ReleaseJobs,
    WriteLogs,
    WriteProgress,
)
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.rescue import CrashRules, RescueWorker
from fastapi_jobs.store.store import Store
from tests.store.driving import (
    NOW,
    attempts_of,
    claim,
    claim_one,
    failure_of,
    finish_of,
    job_of,
    later,
    queued,
    register,
    retry_of,
)

S, End = JobStatus, AttemptOutcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (S.SUCCEEDED, End.SUCCEEDED),
        (S.FAILED, End.FAILED),
        (S.FAILED, End.TIMED_OUT),
        (S.CANCELLED, End.CANCELLED),
        (S.SCHEDULED, End.RETRY_LATER),
        (S.SCHEDULED, End.SNOOZED),
        (S.QUEUED, End.CRASHED),
    ],
)
def test_every_end(store: Store, status: JobStatus, outcome: AttemptOutcome) -> None:
    queued(store)
    claimed = claim_one(store)
    end = finish_of(claimed, status, outcome, at=later(2), run_after=later(5))
    assert store.write_sync(end) is status
    record = job_of(store, claimed.id)
    assert record.status == status
    assert record.finished_at == (later(2) if status.is_final else None)
    [run] = attempts_of(store, claimed.id)
    assert (run.outcome, run.finished_at) == (outcome.value, later(2))


def test_results_and_errors_are_kept(store: Store) -> None:
    queued(store, 2)
    good, bad = claim(store, register(store))
    store.write_sync(finish_of(good, result='{"a": 1}'))
    store.write_sync(failure_of(bad))
    assert job_of(store, good.id).result == '{"a": 1}'
    record, [run] = job_of(store, bad.id), attempts_of(store, bad.id)
    assert (record.error, run.error, run.error_type) == ("boom", "boom", "E")


def test_failures_and_crashes_are_counted(store: Store) -> None:
    queued(store)
    worker = register(store)
    store.write_sync(retry_of(claim_one(store, worker), after=1))
    claimed = claim_one(store, worker, at=later(1))
    assert (claimed.attempt, claimed.failures, claimed.crashes) == (2, 1, 0)
    store.write_sync(finish_of(claimed, S.QUEUED, End.CRASHED, counts_as_crash=True))
    claimed = claim_one(store, worker, at=later(1))
    assert (claimed.attempt, claimed.failures, claimed.crashes) == (3, 1, 1)


def test_success_clears_the_error_of_earlier_attempts(store: Store) -> None:
    queued(store)
    worker = register(store)
    store.write_sync(retry_of(claim_one(store, worker)))
    store.write_sync(finish_of(claim_one(store, worker, at=later(5))))
    assert job_of(store, attempts_of(store, _only(store))[0].job_id).error is None


def _only(store: Store) -> Any:
    [item] = store.read_sync(queries.list_jobs, JobFilter()).items
    return item.id


@pytest.mark.parametrize("end", [finish_of, failure_of, retry_of])
def test_a_stale_owner_changes_nothing(store: Store, end: Any) -> None:
    """Law 3: the loser changes nothing, before and after the job runs elsewhere."""
    [job_id] = queued(store)
    stalled = register(store)
    old = claim_one(store, stalled)
    store.write_sync(RescueWorker(stalled, 0, NOW, CrashRules(3)))
    before = job_of(store, job_id), attempts_of(store, job_id)
    assert store.write_sync(end(old)) is None
    assert (job_of(store, job_id), attempts_of(store, job_id)) == before
    new = claim_one(store, idle=True)
    before = job_of(store, job_id), attempts_of(store, job_id)
    assert store.write_sync(end(old)) is None
    assert not store.write_sync(BeginAttempt(job_id, old.fence))
    assert not store.write_sync(WriteProgress(job_id, old.fence, "{}"))
    assert store.write_sync(ReleaseJobs([(job_id, old.fence)], NOW)) == 0
    assert (job_of(store, job_id), attempts_of(store, job_id)) == before
    assert store.write_sync(finish_of(new)) is S.SUCCEEDED
    assert store.write_sync(end(old)) is None


async def test_a_stale_owner_in_a_batch_hurts_nobody(store: Store) -> None:

    queued(store, 20)
    worker = register(store)
    claimed = claim(store, worker)
    store.write_sync(ReleaseJobs([(claimed[7].id, claimed[7].fence)], NOW))
    ends = [store.write(finish_of(each)) for each in claimed]
    answers = await asyncio.gather(*ends)
    assert [answer is None for answer in answers] == [index == 7 for index in range(20)]


@pytest.mark.parametrize("wanted", [S.SCHEDULED, S.QUEUED])
def test_a_retry_of_a_job_with_a_cancel_request_is_cancelled(
    store: Store, wanted: JobStatus
) -> None:
    queued(store)
    claimed = claim_one(store)
    store.write_sync(RequestCancel(claimed.id, NOW, reason="enough"))
    assert store.write_sync(finish_of(claimed, wanted, End.FAILED, at=later(1))) is S.CANCELLED
    assert job_of(store, claimed.id).finished_at == later(1)


def test_a_normal_return_wins_over_a_cancel_request(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    store.write_sync(RequestCancel(claimed.id, NOW))
    assert store.write_sync(finish_of(claimed)) is S.SUCCEEDED


def test_begin_refuses_what_is_to_be_cancelled(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    assert store.write_sync(BeginAttempt(claimed.id, claimed.fence))
    store.write_sync(RequestCancel(claimed.id, NOW))
    assert not store.write_sync(BeginAttempt(claimed.id, claimed.fence))


@pytest.mark.parametrize("called", [True, False])
def test_a_release_charges_nothing(store: Store, called: bool) -> None:
    """Law 4: a job released before its function was called has no attempt."""
    queued(store)
    worker = register(store)
    claimed = claim_one(store, worker)
    store.write_sync(ReleaseJobs([(claimed.id, claimed.fence)], later(1), called))
    record = job_of(store, claimed.id)
    assert (record.status, record.worker_id, record.fence) == ("queued", None, 2)
    assert (record.failures, record.crashes, record.attempt) == (0, 0, int(called))
    outcomes = [each.outcome for each in attempts_of(store, claimed.id)]
    assert outcomes == (["released"] if called else [])
    again = claim_one(store, worker)
    assert (again.attempt, again.fence) == (1 + called, 3)


def test_a_release_with_a_cancel_request_is_cancelled(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    store.write_sync(RequestCancel(claimed.id, NOW, reason="enough"))
    store.write_sync(ReleaseJobs([(claimed.id, claimed.fence)], later(1)))
    record = job_of(store, claimed.id)
    assert (record.status, record.reason, record.finished_at) == ("cancelled", "enough", later(1))


def test_progress_is_kept(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    assert store.write_sync(WriteProgress(claimed.id, claimed.fence, '{"done": 1}'))
    assert job_of(store, claimed.id).progress == '{"done": 1}'


def test_logs_come_back_in_order(store: Store) -> None:
    [job_id] = queued(store)
    lines = [
        LogLine(job_id, attempt, number, NOW, "INFO", "x", f"{attempt}.{number}", '{"k": 1}')
        for attempt in (2, 1)
        for number in (2, 1)
    ]
    store.write_sync(WriteLogs(lines))
    found = [each.message for each in store.read_sync(queries.get_logs, job_id)]
    assert found == ["1.1", "1.2", "2.1", "2.2"]
    second = store.read_sync(queries.get_logs, job_id, attempt=2)
    assert [each.message for each in second] == ["2.1", "2.2"]
    assert (second[0].at, second[0].fields) == (NOW, '{"k": 1}')
