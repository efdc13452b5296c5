"""What the database says, and what must always be true of it and the ledger together."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Executable, Select, select, text
from sqlalchemy.exc import DBAPIError

from fastapi_jobs.status import FINAL, AttemptOutcome, JobStatus
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.tables import attempts, jobs, workers
from tests.faults import ledger
from tests.faults.processes import LIMIT
from tests.servers import wait_until

_UNDER_WAY = text(
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
)

_FINAL = {status.value for status in FINAL}


class View:
    """Reads the tables by a connection of the test's own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self) -> dict[UUID, Any]:
        """Every job's row."""
        return {row.id: row for row in self._rows(select(jobs))}

    def at_death(self) -> dict[UUID, Any]:
        """Every job's row, once the server has done or undone what a killed process had sent."""
        if not self._database.is_sqlite:
            wait_until(lambda: not self._read(_UNDER_WAY), LIMIT, lambda: "transactions to end")
        return self.jobs()

    def job(self, job_id: UUID) -> Any:
        """One job's row."""
        [row] = self._rows(select(jobs).where(jobs.c.id == job_id))
        return row

    def attempts(self) -> dict[UUID, list[Any]]:
        """Every job's attempts, first to last."""
        found: dict[UUID, list[Any]] = defaultdict(list)
        for row in self._rows(select(attempts).order_by(attempts.c.job_id, attempts.c.number)):
            found[row.job_id].append(row)
        return found

    def workers(self) -> dict[UUID, Any]:
        """Every worker's row."""
        return {row.id: row for row in self._rows(select(workers))}

    def _rows(self, statement: Select[Any]) -> Sequence[Any]:
        try:
            return self._read(statement)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return self._read(statement)  # that connection was older than the server's restart

    def _read(self, statement: Executable) -> Sequence[Any]:
        with self._connect() as connection:
            return connection.execute(statement).all()

    def _connect(self) -> Connection:
        return self._database.reading.connect()

    def has(self, job_id: UUID, *statuses: JobStatus) -> bool:
        """Whether the job stands there; False also while the database does not answer."""
        try:
            return self.job(job_id).status in statuses
        except DBAPIError:
            return False

    def wait_for(self, job_id: UUID, *statuses: JobStatus) -> Any:
        """The job's row once it stands there (by default: is finished)."""
        wait_until(
            lambda: self.has(job_id, *(statuses or FINAL)),
            LIMIT,
            lambda: f"{self.job(job_id)} to be {statuses}",
        )
        return self.job(job_id)

    def wait_for_all(self, limit: float = LIMIT) -> dict[UUID, Any]:
        """Every job's row once all are finished."""
        wait_until(
            lambda: all(row.status in _FINAL for row in self.jobs().values()),
            limit,
            lambda: f"jobs to finish: {Counter(row.status for row in self.jobs().values())}",
        )
        return self.jobs()


def wait_for_begun(folder: Path, job_ids: Collection[UUID], attempt: int = 1) -> None:
    """Return when the functions of these jobs were called."""

    def begun() -> bool:
        book = ledger.lines(folder, ledger.BEGUN)
        return {line.job_id for line in book if line.attempt == attempt} >= set(job_ids)

    wait_until(begun, LIMIT, lambda: f"attempt {attempt} of {len(job_ids)} jobs to begin")


def assert_nothing_lost_or_doubled(view: View, folder: Path) -> None:
    """Every 202 is one succeeded job; each attempt ran and was decided once, one of them won."""
    found, tries = view.jobs(), view.attempts()
    accepted = [line.job_id for line in ledger.lines(folder, ledger.ACCEPTED)]
    assert len(accepted) == len(set(accepted))
    assert set(accepted) <= set(found)
    called = Counter((line.job_id, line.attempt) for line in ledger.lines(folder, ledger.BEGUN))
    ended = Counter((line.job_id, line.attempt) for line in ledger.lines(folder, ledger.ENDED))
    assert not [
        call for call, times in (called + ended).items() if max(called[call], ended[call]) > 1
    ], "an attempt was called twice"
    for job_id, row in found.items():
        assert row.status == JobStatus.SUCCEEDED, row
        numbers = [each.number for each in tries[job_id]]
        assert numbers == list(range(1, row.attempt + 1)), (row, tries[job_id])
        outcomes = [each.outcome for each in tries[job_id]]
        assert outcomes[-1] == AttemptOutcome.SUCCEEDED, outcomes
        unfinished = {AttemptOutcome.CRASHED.value, AttemptOutcome.RELEASED.value}
        assert set(outcomes[:-1]) <= unfinished, outcomes
        fences = [each.fence for each in tries[job_id]]
        assert fences == sorted(set(fences)), fences
        assert fences[-1] == row.fence
        assert row.result == str(row.attempt), "another attempt's result was recorded"
        assert ended[job_id, row.attempt] == 1
        assert row.failures == 0
