"""Entries about changes: written with the change or not at all, once, found page by page."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.errors import IllegalMove, InvalidCursor, JobNotFound
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.audit import Audit, Audited, PruneAudit, list_audit
from fastapi_jobs.store.insert import InsertJobs
from fastapi_jobs.store.many import CancelJobs, Changed
from fastapi_jobs.store.moves import RequestCancel, RetryJob
from fastapi_jobs.store.queues import ResumeQueue
from fastapi_jobs.store.store import Store
from fastapi_jobs.store.transaction import Hints, Operation, Patience, Transaction
from tests.store.driving import (
    NOW,
    analyze,
    apply_lost,
    claim_operation,
    job_of,
    later,
    new_job,
    queued,
    register,
)

S = JobStatus


def entry(who: str = "ann", **values: Any) -> AuditRecord:
    """An entry about a cancel."""
    return AuditRecord(at=NOW, who=who, action="cancel", **values)


def entries(store: Store, **which: Any) -> list[AuditRecord]:
    """One page of them."""
    return list(store.read_sync(list_audit, **which).items)


def test_a_change_and_its_entry(store: Store) -> None:
    [job] = queued(store)
    noted = entry(target=str(job), details='{"why":"wrong"}', address="10.0.0.1")
    expected = noted.model_dump()
    assert store.write_sync(Audited(RequestCancel(job, NOW), noted)) is S.CANCELLED
    assert job_of(store, job).status == S.CANCELLED
    [found] = entries(store)
    assert found.model_dump() == expected


def test_a_refused_change_leaves_no_entry(store: Store) -> None:
    [job] = queued(store)
    with pytest.raises(JobNotFound):
        store.write_sync(Audited(RequestCancel(uuid4(), NOW), entry()))
    with pytest.raises(IllegalMove):
        store.write_sync(Audited(RetryJob(job, NOW), entry()))
    assert entries(store) == []


def test_a_failed_entry_leaves_no_change(store: Store) -> None:
    [job] = queued(store)
    nobody = AuditRecord.model_construct(id=uuid4(), at=NOW, who=None, action="cancel")
    with pytest.raises(Exception, match=r"(?i)not.null"):
        store.write_sync(Audited(RequestCancel(job, NOW), nobody))
    assert job_of(store, job).status == S.QUEUED


def test_a_repetition_writes_one_entry(store: Store) -> None:
    ids = queued(store, 2)
    assert apply_lost(store, Audited(CancelJobs(ids, NOW), entry())) == Changed(done=2)
    assert apply_lost(store, Audited(RetryJob(ids[0], NOW), entry())) is S.QUEUED
    apply_lost(store, Audit(entry("bob")))
    assert [each.who for each in entries(store)] == ["bob", "ann", "ann"]


def test_it_waits_as_long_and_where_its_change_does() -> None:
    retried = Audited(RetryJob(uuid4(), NOW), entry())
    assert retried.alone
    assert retried.patience is Patience.STORE_TIMEOUT
    inserted = Audited(InsertJobs([new_job()]), entry())
    assert (inserted.alone, inserted.refuse_when_full) == (False, True)


def test_beside_others_in_one_transaction(store: Store) -> None:
    """A claim of the same commit does not get what was cancelled, and sees what is new."""
    worker = register(store)
    gone, kept = queued(store, 2)
    new = new_job()
    hints = Hints()
    batch: list[Operation[Any]] = [
        claim_operation(worker),
        Audited(RequestCancel(gone, NOW), entry()),
        Audited(InsertJobs([new]), entry()),
        Audited(ResumeQueue("q"), entry()),
        Audited(RequestCancel(uuid4(), NOW), entry("bob")),
    ]
    answers: dict[int, Any] = {}
    with store.database.writing.connect() as connection, connection.begin():
        tx = Transaction(connection, store.database)
        for each in sorted(batch, key=lambda each: each.order):
            [answers[id(each)]] = type(each).apply(tx, [each])
        hints = tx.hints
    assert {each.id for each in answers[id(batch[0])]} == {kept, new.id}
    assert hints.queued
    assert hints.finished == [gone]
    assert isinstance(answers[id(batch[4])], JobNotFound)
    assert [each.who for each in entries(store)] == ["ann"] * 3


def test_page_by_page(store: Store) -> None:
    for number in range(7):
        store.write_sync(Audit(entry("ann" if number % 2 else "bob", target=f"job {number % 3}")))
    everything = entries(store)
    assert [each.target for each in everything] == [f"job {n % 3}" for n in range(6, -1, -1)]
    found: list[AuditRecord] = []
    cursor = None
    while True:
        page = store.read_sync(list_audit, limit=3, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == 3
    assert found == everything
    assert [each.who for each in entries(store, who="ann")] == ["ann"] * 3
    assert [each.who for each in entries(store, target="job 0")] == ["bob", "ann", "bob"]
    assert [each.target for each in entries(store, who="ann", target="job 0")] == ["job 0"]
    assert entries(store, who="nobody") == []
    with pytest.raises(InvalidCursor):
        entries(store, cursor="x")


def test_no_page_scans(store: Store) -> None:
    with store.database.writing.connect() as connection, connection.begin():
        tx = Transaction(connection, store.database)
        for number in range(2000):
            Audit(entry("ann", target=f"job {number}")).apply_one(tx)
    analyze(store)
    plans: list[str] = []
    prefix = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "

    def note(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        cursor.execute(prefix + statement, parameters)
        plans.append("\n".join(str(row) for row in cursor.fetchall()))

    event.listen(store.database.reading, "before_cursor_execute", note)
    try:
        for which in ({}, {"who": "bob"}, {"target": "job 7"}, {"who": "bob", "target": "job 7"}):
            entries(store, **which)
    finally:
        event.remove(store.database.reading, "before_cursor_execute", note)
    assert len(plans) == 4
    for plan, index in zip(plans, ("", "who", "target", "target"), strict=True):
        assert "Seq Scan" not in plan, plan
        if index:
            assert f"fastapi_jobs_audit_{index}" in plan, plan
        else:
            assert "Sort" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan


def test_old_entries_go_the_oldest_first(store: Store) -> None:
    for second in range(5):
        made = first_uuid7(later(second))
        store.write_sync(Audit(entry(str(second), id=made)))
    assert store.write_sync(PruneAudit(later(3), limit=2)) == 2
    assert [each.who for each in entries(store)] == ["4", "3", "2"]
    assert store.write_sync(PruneAudit(later(3), limit=2)) == 1
    assert store.write_sync(PruneAudit(later(3), limit=2)) == 0
    assert [each.who for each in entries(store)] == ["4", "3"]
