"""500 jobs over HTTP while everything dies once or twice: each 202 is one job, and it succeeds."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from tests.celery.chaos.stage import BROKER_PATIENCE, SLOTS, Stage
from tests.faults import ledger
from tests.faults.view import assert_nothing_lost_or_doubled
from tests.redis_server import RedisServer
from tests.servers import PostgresServer

pytestmark = pytest.mark.slow

COUNT = 500
OUTAGE_SECONDS = 5.0
SLOW_SECONDS = BROKER_PATIENCE / 3
"""No request takes that long by itself; one that waits for a silent broker takes longer."""


@pytest.fixture
def stage(
    tmp_path: Path,
    postgres_server_factory: Callable[..., PostgresServer],
    own_redis: RedisServer,
) -> Iterator[Stage]:
    """Everything, not started yet."""
    with ExitStack() as stack:
        yield Stage(tmp_path, postgres_server_factory(), own_redis, stack)


def test_every_202_is_one_job_that_succeeds(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    stage.start(failpoint="insert:40")
    the_api_is_killed_after_a_commit(stage)
    the_worker_tree_is_killed(stage)
    redis_is_stopped(stage)
    a_child_is_killed(stage)
    redis_is_flushed(stage)
    postgresql_is_restarted(stage)
    the_worker_tree_is_killed(stage)
    stage.wait_for(stage.clients.post(COUNT - len(stage.clients.posted)))
    stage.finished()
    judge(stage)
    with capsys.disabled():
        print(f"\n{report(stage, time.monotonic() - started)}")  # noqa: T201 (the report is wanted)


# The faults, each with work before, in and after it.


def the_api_is_killed_after_a_commit(stage: Stage) -> None:
    """Its failpoint: the job is stored, neither published nor answered, and seven others wait."""
    posted = stage.clients.post(80)
    assert stage.api.wait() == -signal.SIGKILL
    died = time.monotonic()
    stage.start_api()
    stage.wait_for(posted)
    stage.recovered("API killed", died, [each.result() for each in posted])


def the_worker_tree_is_killed(stage: Stage) -> None:
    with stage.held(SLOTS - 1) as held:
        before = stage.ended()
        posted = stage.clients.post(40)
        stage.wait_until(lambda: stage.ended() >= before + 10, "ten more to end")
        stage.worker.kill()
        died = time.monotonic()
    stage.worker.start()
    stage.wait_for(posted)
    stage.recovered("worker tree killed", died, [*held, *(each.result() for each in posted)])


def redis_is_stopped(stage: Stage) -> None:
    """First it says nothing, then it refuses connections."""
    began = time.monotonic()
    stage.redis.pause()
    posted = enqueue_beside_looks(stage, 30)
    stage.redis.stop()
    for second in range(1, int(OUTAGE_SECONDS) + 1):
        posted += enqueue_beside_looks(stage, 10)
        stage.wait_until_time(began + second)
    stage.wait_until(lambda: stage.health()["status"] == "degraded", "the API to notice")
    assert stage.health()["broker"]
    ended = time.monotonic()
    judge_requests(stage, began, ended)
    stage.redis.start()
    stage.recovered("Redis stopped for 5 s", ended, [each.result() for each in posted])
    stage.wait_until(lambda: stage.health()["status"] == "ok", "the API to find the broker back")


def enqueue_beside_looks(stage: Stage, count: int) -> list[Future[UUID]]:
    """Accepted jobs, and as many requests that have nothing to do with the broker."""
    looks = stage.clients.look(count)
    posted = stage.clients.post(count)
    stage.wait_for([*looks, *posted])
    return posted


def a_child_is_killed(stage: Stage) -> None:
    with stage.held(2) as held:
        victim, bystander = held
        pid = stage.pid_of(victim)
        assert pid in [child.pid for child in stage.worker.children()]
        os.kill(pid, signal.SIGKILL)
        died = time.monotonic()
    stage.recovered("prefork child killed", died, held)
    assert stage.view.job(bystander).attempt == 1
    assert stage.view.job(victim).attempt == 2


def redis_is_flushed(stage: Stage) -> None:
    with stage.held(SLOTS) as held:
        posted = stage.clients.post(60)
        stage.wait_for(posted)
        stage.wait_until(lambda: stage.redis.length("fastapi_jobs.") >= 20, "a window to be full")
        stage.redis.flush()
        flushed = time.monotonic()
    stage.recovered("Redis flushed", flushed, [*held, *(each.result() for each in posted)])


def postgresql_is_restarted(stage: Stage) -> None:
    with stage.held(2) as held:
        posted = stage.clients.post(40)
        stage.postgres.restart()
        restarted = time.monotonic()
    stage.wait_for(posted)
    stage.recovered("PostgreSQL restarted", restarted, [*held, *(e.result() for e in posted)])


# The verdict.


def judge_requests(stage: Stage, began: float, ended: float) -> None:
    """With the database up, no request waits for a broker that is silent or away."""
    posts = stage.clients.during("POST", began, ended)
    looks = stage.clients.during("GET", began, ended)
    assert len(posts) >= 80
    assert {each.status for each in posts} == {202}
    # The looks, too: who waits for a broker on the event loop holds up everybody.
    slowest, slowest_look = (max(each.seconds for each in some) for some in (posts, looks))
    stage.notes.append(
        f"slowest of {len(posts)} requests without a broker {slowest:.3f} s, "
        f"of {len(looks)} that want none {slowest_look:.3f} s"
    )
    assert max(slowest, slowest_look) < SLOW_SECONDS


def judge(stage: Stage) -> None:
    """Each key made one job, each job succeeded once, and nothing else is there."""
    accepted = [each.result() for each in stage.clients.posted]
    assert len(accepted) == COUNT
    assert set(accepted) == set(stage.view.jobs())
    assert_nothing_lost_or_doubled(stage.view, stage.folder)
    replayed = stage.clients.answers()[200]
    assert replayed >= 1, "no answer was lost after its commit"
    assert set(stage.clients.answers()) <= {0, 200, 202, 503}


def report(stage: Stage, seconds: float) -> str:
    """Counts, reruns and recovery times."""
    rows = stage.view.jobs().values()
    begun, ended = (len(ledger.lines(stage.folder, book)) for book in ("begun", "ended"))
    outcomes = Counter(each.outcome for tries in stage.view.attempts().values() for each in tries)
    answers = stage.clients.answers()
    lines = [
        f"chaos: {len(rows)} jobs in {seconds:.1f} s, {dict(Counter(r.status for r in rows))}",
        f"  attempts {dict(outcomes)}; functions begun {begun}, ended {ended}",
        f"  ran again {sum(row.attempt > 1 for row in rows)}, "
        f"at most {max(row.attempt for row in rows)} attempts",
        f"  answers 202: {answers[202]}, replayed 200: {answers[200]}, 503: {answers[503]}, "
        f"lost connections: {answers[0]}",
        *(f"  {each}" for each in stage.notes),
    ]
    return "\n".join(lines)
