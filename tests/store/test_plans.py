"""PostgreSQL's plans: nothing of ours is worth compiling."""

from sqlalchemy import text

from fastapi_jobs.store.queues import PauseQueue
from fastapi_jobs.store.store import Store
from tests.store.driving import NOW


def test_a_small_table_that_was_analyzed_is_read_without_compiling(postgres_store: Store) -> None:
    """Its scan, the only way there is, would count as dear enough for that: each claim reads it."""
    store = postgres_store
    store.write_sync(PauseQueue("mail", NOW))
    with store.database.writing.connect() as writing, store.database.reading.connect() as reading:
        writing.execute(text("ANALYZE fastapi_jobs_queues"))
        for connection in (writing, reading):
            plan = connection.execute(text("EXPLAIN SELECT name, paused FROM fastapi_jobs_queues"))
            lines = [row[0] for row in plan]
            assert "Seq Scan" in lines[0]
            assert "JIT:" not in lines
