"""What every backend owes, as tests: for a backend of your own, subclass `BackendConformance`.

It needs pytest, and takes less than a minute.
"""

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from fastapi_jobs import dispatcher
from fastapi_jobs.registry import registry
from fastapi_jobs.status import AttemptOutcome, JobStatus
from fastapi_jobs.tasks import task
from fastapi_jobs.testing.conformance import tasks
from fastapi_jobs.testing.conformance.both import Kind
from fastapi_jobs.testing.conformance.gate import LIMIT
from fastapi_jobs.testing.conformance.rig import BackendRig

__all__ = ["BackendConformance"]

of_both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])

SUCCEEDED, FAILED, CANCELLED = JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED


class BackendConformance:
    """Subclass it as `TestMine`, name your backend, and pytest runs what every backend owes.

    Each subclass has a started app of its own, on a fresh SQLite file unless `database_url` says
    otherwise. What the backend declares (`stops_async`, `stops_sync`, `shares_process`,
    `needs_import`) is held against what it does.
    """

    backend: ClassVar[str] = ""
    """What `backend =` in settings.toml would say, such as `mypkg:MyBackend`."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """More settings of the app."""
    database_url: ClassVar[str | None] = None
    """Another database than a fresh SQLite file."""

    @pytest.fixture
    def rig(self, fastapi_jobs_backend_rig: BackendRig) -> BackendRig:
        """The app that all tests of the class share."""
        return fastapi_jobs_backend_rig

    # Running.

    @of_both_kinds
    def test_arguments_arrive_and_the_result_comes_back(self, rig: BackendRig, kind: Kind) -> None:
        assert rig.result(tasks.add.of(kind), 1) == 3
        assert rig.result(tasks.add.of(kind), 1, b=5, c=10) == 16

    @of_both_kinds
    def test_an_attempt_is_recorded(self, rig: BackendRig, kind: Kind) -> None:
        job = rig.ended(rig.enqueue(tasks.add.of(kind), 1))
        assert (job.status, job.attempt) == (SUCCEEDED, 1)
        [attempt] = rig.attempts(job)
        assert attempt.backend == rig.runtime.settings.backend
        assert attempt.outcome == AttemptOutcome.SUCCEEDED

    def test_a_sync_function_does_not_block_the_event_loop(self, rig: BackendRig) -> None:
        place = rig.result(tasks.where_sync)
        assert not place.on_loop, "it runs on an event loop, which it would block"

    def test_an_async_function_runs_on_an_event_loop(self, rig: BackendRig) -> None:
        assert rig.result(tasks.where_async).on_loop

    @of_both_kinds
    def test_jobs_run_at_once_in_all_its_slots(self, rig: BackendRig, kind: Kind) -> None:
        slots = min(rig.backend.slots, 3)
        with rig.gate() as gate:
            jobs = [rig.enqueue(tasks.waits.of(kind), str(gate)) for _ in range(slots)]
            rig.run(gate.reached(slots))
        assert [rig.ended(job).status for job in jobs] == [SUCCEEDED] * slots

    @of_both_kinds
    def test_each_job_has_a_context_of_its_own(self, rig: BackendRig, kind: Kind) -> None:
        found = [rig.result(tasks.leaves_a_mark.of(kind), mark) for mark in ("a", "b", "c")]
        assert found == ["nothing"] * 3

    # Ends.

    @of_both_kinds
    def test_a_failure_is_reported_and_not_raised(
        self, rig: BackendRig, kind: Kind, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.ERROR, "fastapi_jobs.dispatcher"):
            job = rig.ended(rig.enqueue(tasks.fails.of(kind), "no stock"))
        assert (job.status, job.error) == (FAILED, "ValueError: no stock")
        [attempt] = rig.attempts(job)
        assert attempt.error_type == "ValueError"
        assert "raise ValueError(why)" in (attempt.traceback or ""), "the traceback is the task's"
        raised = [each for each in caplog.messages if each.startswith("backend ")]
        assert not raised, "submit() raised for what a task did"

    @of_both_kinds
    def test_no_exception_ends_the_worker(self, rig: BackendRig, kind: Kind) -> None:
        job = rig.ended(rig.enqueue(tasks.exits.of(kind)))
        assert (job.status, job.error) == (FAILED, "SystemExit: 3")
        assert rig.result(tasks.add.of(kind), 1) == 3

    @of_both_kinds
    def test_a_retry_is_a_new_attempt(self, rig: BackendRig, kind: Kind) -> None:
        job = rig.enqueue(tasks.fails_until.of(kind), 3)
        assert rig.run(job.result(LIMIT)) == 3
        failed = AttemptOutcome.FAILED
        assert rig.outcomes(job) == [failed, failed, AttemptOutcome.SUCCEEDED]

    @of_both_kinds
    @pytest.mark.parametrize(
        ("decision", "outcome", "status"),
        [
            ("give up", AttemptOutcome.FAILED, FAILED),
            ("cancel", AttemptOutcome.CANCELLED, CANCELLED),
            ("retry later", AttemptOutcome.RETRY_LATER, SUCCEEDED),
            ("snooze", AttemptOutcome.SNOOZED, SUCCEEDED),
        ],
    )
    def test_a_task_decides_its_own_end(
        self,
        rig: BackendRig,
        kind: Kind,
        decision: str,
        outcome: AttemptOutcome,
        status: JobStatus,
    ) -> None:
        job = rig.ended(rig.enqueue(tasks.decides.of(kind), decision))
        assert (rig.outcomes(job)[0], job.status) == (outcome, status)

    @of_both_kinds
    def test_a_result_that_cannot_be_kept_fails(self, rig: BackendRig, kind: Kind) -> None:
        job = rig.ended(rig.enqueue(tasks.returns_an_object.of(kind)))
        assert job.status is FAILED
        assert "has no JSON form" in (job.error or "")

    # Reports.

    @of_both_kinds
    def test_a_task_knows_its_job_and_reports(self, rig: BackendRig, kind: Kind) -> None:
        chosen = tasks.reports.of(kind).using(queue="conformance", metadata={"key": "value"})
        job = rig.enqueue(chosen)
        told = rig.run(job.result(LIMIT))
        assert told == [str(job.id), str(job.id), "conformance", "value"]
        assert rig.look(job).progress == {"done": 1.0, "total": 2.0, "message": "half"}
        lines = [(line.logger, line.message) for line in rig.logs(job)]
        assert ("fastapi_jobs.job", "by the context") in lines
        assert ("backend.conformance", "by logging") in lines

    # Cancel, timeout, release: what is declared is true.

    @of_both_kinds
    def test_cancel_stops_what_it_says_it_stops(self, rig: BackendRig, kind: Kind) -> None:
        chosen = tasks.waits.of(kind)
        with rig.gate() as gate, rig.gate() as other_gate:
            job, other = rig.at_gate(chosen, gate), rig.at_gate(chosen, other_gate)
            rig.cancel(job)
            if rig.stops(chosen):
                assert rig.ended(job).status is CANCELLED
                assert rig.outcomes(job) == [AttemptOutcome.CANCELLED]
            else:
                assert rig.look(job).status is JobStatus.RUNNING
                gate.open()
                assert rig.ended(job).status is SUCCEEDED
            assert rig.look(other).status is JobStatus.RUNNING
            other_gate.open()
            assert rig.ended(other).status is SUCCEEDED

    def test_a_sync_task_that_asks_is_told_of_the_cancel(self, rig: BackendRig) -> None:
        with rig.gate() as gate:
            job = rig.at_gate(tasks.heeds, gate)
            rig.cancel(job)
            assert rig.ended(job).status is CANCELLED

    @of_both_kinds
    def test_a_timeout_stops_what_it_says_it_stops(self, rig: BackendRig, kind: Kind) -> None:
        chosen = tasks.slow.of(kind)
        with rig.gate() as gate:
            if rig.stops(chosen):
                # What stands still for a while is stopped before it comes to the gate.
                job = rig.enqueue(chosen, str(gate))
                done = rig.ended(job)
                assert (done.status, done.error) == (FAILED, f"Timed out after {tasks.TIMEOUT} s.")
                assert rig.outcomes(job) == [AttemptOutcome.TIMED_OUT]
                return
            job = rig.at_gate(chosen, gate)
            rig.eventually(
                lambda: rig.record(job).reason is not None,
                "the record says that the timeout has passed: call.mark_overdue()",
            )
            assert rig.look(job).status is JobStatus.RUNNING
        assert rig.ended(job).status is SUCCEEDED

    def test_a_sync_task_that_asks_ends_at_its_timeout(self, rig: BackendRig) -> None:
        with rig.gate() as gate:
            job = rig.enqueue(tasks.heeds_its_timeout, str(gate))
            assert rig.ended(job).error == f"Timed out after {tasks.TIMEOUT} s."
        assert rig.outcomes(job) == [AttemptOutcome.TIMED_OUT]

    @of_both_kinds
    def test_what_a_timeout_cannot_do_is_said_beforehand(self, rig: BackendRig, kind: Kind) -> None:
        chosen = tasks.slow.of(kind)
        said = rig.backend.shortcomings(chosen.definition, tasks.TIMEOUT)
        assert bool(said) is not rig.stops(chosen), said

    @of_both_kinds
    def test_a_job_is_given_back_at_shutdown(
        self, rig: BackendRig, kind: Kind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatcher, "ENDING_SECONDS", LIMIT)
        chosen = tasks.waits.of(kind)
        with rig.gate() as gate:
            job, can_be_stopped = rig.at_gate(chosen, gate), rig.stops(chosen)
            left = rig.stop()
            try:
                waiting = rig.look(job)
                assert (waiting.status, rig.record(job).failures) == (JobStatus.QUEUED, 0)
                assert rig.outcomes(job) == [AttemptOutcome.RELEASED]
                assert left == (0 if can_be_stopped else 1)
                gate.open()
            finally:
                rig.start()
        assert rig.run(job.result(LIMIT)) == "through"

    # The process.

    def test_it_shares_the_process_as_it_says(self, rig: BackendRig) -> None:
        places = [rig.result(tasks.where_sync), rig.result(tasks.where_async)]
        here = [place.pid == os.getpid() for place in places]
        assert here == [rig.backend.shares_process] * 2

    def test_a_crash_hurts_only_the_job(self, rig: BackendRig) -> None:
        """Only where jobs have processes of their own; elsewhere a crash ends the worker."""
        if rig.backend.shares_process:
            return
        with rig.gate() as gate:
            other = rig.at_gate(tasks.waits_sync, gate)
            job = rig.enqueue(tasks.dies_once, os.getpid())
            assert rig.run(job.result(LIMIT)) == "attempt 2"
            assert rig.outcomes(job) == [AttemptOutcome.CRASHED, AttemptOutcome.SUCCEEDED]
            assert rig.look(other).status is JobStatus.RUNNING
        assert (rig.ended(other).status, rig.record(other).crashes) == (SUCCEEDED, 0)

    def test_a_task_without_a_module_runs_unless_it_needs_one(self, rig: BackendRig) -> None:
        @task(name=f"conformance/{type(self).__name__}")
        def local() -> str:
            return "found"

        try:
            if rig.backend.needs_import:
                said = " ".join(rig.backend.shortcomings(local.definition, None))
                assert "cannot import it" in said
            else:
                assert rig.result(local) == "found"
        finally:
            registry.remove(local.name)

    def test_its_threads_end_with_it(self, rig: BackendRig) -> None:
        rig.stop()
        try:
            before = _lasting_threads()
            rig.start()
            assert rig.result(tasks.where_sync)
            assert rig.result(tasks.where_async)
            rig.stop()
            rig.eventually(
                lambda: _lasting_threads() <= before, "its threads have ended after stop()"
            )
        finally:
            rig.start()


def _lasting_threads() -> set[str]:
    # Those of the loop's own pool end with the loop, and how many it has is a matter of chance.
    return {
        each.name
        for each in threading.enumerate()
        if not each.daemon and not each.name.startswith("asyncio_")
    }
