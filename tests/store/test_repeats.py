"""Law 2: every operation is safe to repeat after a commit whose answer was lost."""

from typing import Any

import pytest
from sqlalchemy import delete

from fastapi_jobs.errors import IllegalMove
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.store.finish import FinishAttempt, LogLine, ReleaseJobs, WriteLogs
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.moves import DeleteJobs, EditJob, RequestCancel, RetryJob
from fastapi_jobs.store.queries import get_logs
from fastapi_jobs.store.rows import IdempotencyWish, UniqueWish
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.tables import attempts, jobs
from fastapi_jobs.store.transaction import Operation, Transaction
from fastapi_jobs.store.unique import InsertUnique
from tests.store.driving import (
    BACKEND,
    NOW,
    apply_lost,
    attempts_of,
    claim,
    claim_one,
    claim_operation,
    failure_of,
    finish_of,
    insert,
    insert_unique,
    job_of,
    later,
    new_job,
    queued,
    register,
    retry_of,
)


def test_a_repeated_insert_stores_one_job(store: Store) -> None:
    job = new_job(tags=("a", "b"))
    [inserted] = apply_lost(store, InsertJobs([job]))
    assert inserted.is_new
    assert inserted.status is JobStatus.QUEUED
    worker = register(store)
    assert [each.id for each in claim(store, worker)] == [job.id]


def test_a_repeated_insert_of_a_full_queue_is_not_refused(store: Store) -> None:
    """The room that the second try misses is the room that the first one took."""
    job = new_job(max_queued=1)
    [inserted] = apply_lost(store, InsertJobs([job]))
    assert inserted.id == job.id
    keyed = new_job(queue="other", max_queued=1, unique=UniqueWish("k"))
    [inserted] = apply_lost(store, InsertUnique([keyed]))
    assert inserted.id == keyed.id


def test_a_repeated_insert_that_was_a_claim_is_still_one(store: Store) -> None:
    worker = register(store)
    job = new_job()
    operation = InsertJobs([job], claimer=worker, claimer_backend=BACKEND)
    [inserted] = apply_lost(store, operation)
    assert inserted.status is JobStatus.RUNNING
    assert [each.number for each in attempts_of(store, job.id)] == [1]


@pytest.mark.parametrize("asked", [True, False], ids=["with_a_claimer", "without"])
def test_a_repeated_insert_is_not_told_of_a_later_claim(store: Store, asked: bool) -> None:
    """Two owners in one process would run the same attempt twice."""
    worker = register(store)
    job = new_job()
    if asked:
        queued(store)  # it waits ahead: the gate is shut
    operation = InsertJobs([job], claimer=worker if asked else None, claimer_backend=BACKEND)
    store.write_sync(operation)
    assert job.id in {each.id for each in claim(store, worker, at=later(1))}
    other = new_job(queue="other")
    both = InsertJobs([other], claimer=worker, claimer_backend=BACKEND)
    answers = _in_one_transaction(store, [operation, both])
    assert answers[0][0].status is JobStatus.QUEUED
    assert answers[1][0].status is JobStatus.RUNNING


def test_a_repeated_insert_makes_no_attempt_of_a_cancelled_job(store: Store) -> None:
    worker = register(store)
    [ahead] = queued(store)
    job = new_job()
    operation = InsertJobs([job], claimer=worker, claimer_backend=BACKEND)
    store.write_sync(operation)
    for each in (ahead, job.id):
        store.write_sync(RequestCancel(each, NOW))
    store.write_sync(operation)
    assert attempts_of(store, job.id) == []


def test_a_repeated_claim_returns_what_the_first_one_took(store: Store) -> None:
    worker = register(store)
    queued(store, 5)
    operation = claim_operation(worker, 2)
    first = store.write_sync(operation)
    assert store.write_sync(operation) == first
    assert len(claim(store, worker)) == 3


def test_a_repeated_claim_leaves_out_what_was_taken_from_it(store: Store) -> None:
    worker = register(store)
    queued(store, 2)
    operation = claim_operation(worker, 2)
    gone, kept = store.write_sync(operation)
    store.write_sync(ReleaseJobs([(gone.id, gone.fence)], NOW))
    assert store.write_sync(operation) == [kept]


def test_a_claim_that_was_rolled_back_claims_anew(store: Store) -> None:
    worker, other = register(store), register(store)
    queued(store, 2)
    operation = claim_operation(worker, 1)
    with store.database.writing.connect() as connection, connection.begin() as transaction:
        operation.apply_one(Transaction(connection, store.database))
        transaction.rollback()
    [taken] = claim(store, other, 1)
    [mine] = store.write_sync(operation)
    assert mine.id != taken.id


def test_a_claim_that_was_rolled_back_does_not_share_with_a_later_one(store: Store) -> None:
    worker = register(store)
    queued(store)
    operation = claim_operation(worker, 1)
    with store.database.writing.connect() as connection, connection.begin() as transaction:
        operation.apply_one(Transaction(connection, store.database))
        transaction.rollback()
    assert len(claim(store, worker, 1, at=later(1))) == 1
    assert store.write_sync(operation) == []


@pytest.mark.parametrize("end", [finish_of, failure_of, retry_of])
def test_a_repeated_finish_has_won(store: Store, end: Any) -> None:
    queued(store)
    operation = end(claim_one(store))
    first = store.write_sync(operation)
    assert first is operation.finish.status
    assert store.write_sync(operation) is first


def test_a_repeated_finish_has_won_although_the_retry_runs_already(store: Store) -> None:
    queued(store)
    worker = register(store)
    operation = retry_of(claim_one(store, worker), after=1)
    store.write_sync(operation)
    second = claim_one(store, worker, at=later(2))
    assert store.write_sync(operation) is JobStatus.SCHEDULED
    record = job_of(store, second.id)
    assert (record.status, record.attempt) == (JobStatus.RUNNING, 2)
    assert [each.outcome for each in attempts_of(store, second.id)] == ["failed", None]


def test_a_repeated_unique_insert_never_displaces_a_later_holder(store: Store) -> None:
    wish = UniqueWish("k", on_conflict="replace")
    job = new_job(unique=wish)
    operation = InsertUnique([job])
    store.write_sync(operation)
    store.write_sync(finish_of(claim_one(store)))
    holder = insert_unique(store, "k")
    [inserted] = store.write_sync(operation)
    assert (inserted.id, inserted.status) == (job.id, JobStatus.SUCCEEDED)
    assert job_of(store, holder.id).status == JobStatus.QUEUED


@pytest.mark.parametrize("on_conflict", ["existing", "reject"])
def test_a_repeated_unique_insert_is_its_own_job(store: Store, on_conflict: Any) -> None:
    job = new_job(unique=UniqueWish("k", during="queued", on_conflict=on_conflict))
    operation = InsertUnique([job])
    store.write_sync(operation)
    claim_one(store)
    insert_unique(store, "k")
    [inserted] = store.write_sync(operation)
    assert inserted.id == job.id
    assert inserted.is_new


def test_a_repeated_idempotent_insert_is_no_replay(store: Store) -> None:
    wish = IdempotencyWish("digest", "body", later(60), "client-key")
    job = new_job()
    [inserted] = apply_lost(store, InsertUnique([job], wish))
    assert (inserted.id, inserted.is_new, inserted.replayed) == (job.id, True, False)


def test_a_repeated_retry_has_worked(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    store.write_sync(failure_of(claimed))
    operation = RetryJob(claimed.id, NOW)
    assert apply_lost(store, operation) is JobStatus.QUEUED
    with pytest.raises(IllegalMove, match="it is queued"):
        store.write_sync(RetryJob(claimed.id, NOW))


def test_a_repeated_delete_has_worked(store: Store) -> None:
    [job_id] = queued(store)
    store.write_sync(RequestCancel(job_id, NOW))
    assert apply_lost(store, DeleteJobs([job_id], must=True)) == 1


@pytest.mark.parametrize("running", [True, False])
def test_a_repeated_cancel_says_the_same(store: Store, running: bool) -> None:
    [job_id] = queued(store)
    if running:
        claim_one(store)
    wanted = JobStatus.RUNNING if running else JobStatus.CANCELLED
    assert apply_lost(store, RequestCancel(job_id, NOW)) is wanted


def test_a_repeated_edit_changes_nothing_more(store: Store) -> None:
    job = new_job(tags=("old",))
    insert(store, job)
    operation = EditJob(job.id, NOW, {"tags": ["new"], "priority": 3, "run_after": later(5)})
    assert apply_lost(store, operation) is JobStatus.SCHEDULED
    record = job_of(store, job.id)
    assert (record.tags, record.priority) == ('["new"]', 3)


def test_a_repeated_release_gives_back_once(store: Store) -> None:
    [job_id] = queued(store)
    claimed = claim_one(store)
    apply_lost(store, ReleaseJobs([(job_id, claimed.fence)], NOW, called=False))
    record = job_of(store, job_id)
    assert (record.status, record.attempt, record.fence) == (JobStatus.QUEUED, 0, 2)
    assert attempts_of(store, job_id) == []


def test_repeated_log_lines_are_stored_once(store: Store) -> None:
    [job_id] = queued(store)
    line = LogLine(job_id, 1, 1, NOW, "INFO", "me", "hello")
    apply_lost(store, WriteLogs([line]))
    assert len(store.read_sync(get_logs, job_id)) == 1


def test_two_ends_of_one_attempt_in_one_commit_have_one_winner(store: Store) -> None:
    queued(store)
    claimed = claim_one(store)
    ends: list[FinishAttempt] = [finish_of(claimed, at=later(1)), finish_of(claimed, at=later(2))]
    answers = _in_one_transaction(store, ends)
    assert sorted(answers, key=str) == [None, JobStatus.SUCCEEDED]
    won = ends[answers.index(JobStatus.SUCCEEDED)].finish.at
    [run] = attempts_of(store, claimed.id)
    assert job_of(store, claimed.id).finished_at == run.finished_at == won


def test_a_rescuers_crash_is_not_the_owners(store: Store) -> None:
    """Both may write the outcome `crashed`; only one of them wrote it."""
    queued(store)
    claimed = claim_one(store)
    store.write_sync(ReleaseJobs([(claimed.id, claimed.fence)], later(1)))
    late = finish_of(claimed, JobStatus.QUEUED, AttemptOutcome.RELEASED, at=later(2))
    assert store.write_sync(late) is None


def _in_one_transaction(store: Store, operations: list[Any]) -> list[Any]:
    kind: type[Operation[Any]] = type(operations[0])
    with store.database.writing.connect() as connection, connection.begin():
        return list(kind.apply(Transaction(connection, store.database), operations))


def test_a_job_that_was_deleted_is_no_repeat(store: Store) -> None:
    job = new_job()
    operation = InsertJobs([job])
    store.write_sync(operation)
    with store.database.writing.connect() as connection, connection.begin():
        connection.execute(delete(attempts))
        connection.execute(delete(jobs))
    assert store.write_sync(operation)[0].is_new
