"""The floors: the same three writes by the bare driver, in large transactions."""

import sqlite3
import time
from datetime import UTC, datetime
from uuid import uuid4

from benchmarks.harness import Raw

TABLE = """
CREATE TABLE jobs (
    id {id} PRIMARY KEY, task TEXT, queue TEXT, status TEXT, priority INTEGER, args TEXT,
    result TEXT, error TEXT, attempt INTEGER, fence INTEGER,
    created_at {time}, started_at {time}, finished_at {time}
)
"""
INDEXES = (
    "CREATE INDEX jobs_claim ON jobs (queue, priority, id) WHERE status = 'queued'",
    "CREATE INDEX jobs_status ON jobs (status, id)",
)
INSERT = "INSERT INTO jobs VALUES ({})".format(", ".join(["?"] * 13))
RUN = "UPDATE jobs SET status = 'running', attempt = 1, fence = 1, started_at = ? WHERE id = ?"
FINISH = "UPDATE jobs SET status = 'succeeded', result = ?, finished_at = ? WHERE id = ?"


def sqlite_floor(url: str, durability: str, jobs: int, batch: int = 1000) -> Raw:
    """Raw sqlite3: insert, running, done, a transaction for each `batch` rows of each."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability}")
    connection.execute(TABLE.format(id="CHAR(32)", time="TEXT"))
    for index in INDEXES:
        connection.execute(index)
    start, used = time.perf_counter(), time.process_time()
    for first in range(0, jobs, batch):
        ids = [uuid4().hex for _ in range(first, min(first + batch, jobs))]
        now = str(datetime.now(UTC))
        rows = [
            (each, "noop", "default", "queued", 0, "{}", None, None, 0, 0, now, None, None)
            for each in ids
        ]
        for statement, values in (
            (INSERT, rows),
            (RUN, [(now, each) for each in ids]),
            (FINISH, [("null", now, each) for each in ids]),
        ):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, values)
            connection.execute("COMMIT")
    seconds, used = time.perf_counter() - start, time.process_time() - used
    connection.close()
    return {
        "seconds": seconds,
        "rate": jobs / seconds,
        "processor_us_per_job": used / jobs * 1e6,
    }


def postgresql_floor(url: str, durability: str, jobs: int, batch: int = 100) -> Raw:
    """Raw psycopg: the same, pipelined by its executemany."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        commit = "on" if durability == "full" else "off"
        connection.execute(f"SET synchronous_commit = {commit}")
        connection.execute(TABLE.format(id="UUID", time="TIMESTAMPTZ"))
        for index in INDEXES:
            connection.execute(index)
        start = time.perf_counter()
        cursor = connection.cursor()
        for first in range(0, jobs, batch):
            ids = [uuid4() for _ in range(first, min(first + batch, jobs))]
            now = datetime.now(UTC)
            rows = [
                (each, "noop", "default", "queued", 0, "{}", None, None, 0, 0, now, None, None)
                for each in ids
            ]
            with connection.transaction():
                cursor.executemany(INSERT.replace("?", "%s"), rows)
            with connection.transaction():
                cursor.executemany(RUN.replace("?", "%s"), [(now, each) for each in ids])
            with connection.transaction():
                done = [("null", now, each) for each in ids]
                cursor.executemany(FINISH.replace("?", "%s"), done)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "rate": jobs / seconds}
