"""Where a running job is, and how a finished one ended."""

from datetime import timedelta

import pytest

from fastapi_jobs.clock import utc_now
from fastapi_jobs.explaining import Viewer, duration
from fastapi_jobs.store.moves import RequestCancel
from tests.explaining.conftest import World
from tests.store.driving import failure_of, finish_of, insert_unique


def test_a_running_job(world: World) -> None:
    worker = world.worker()
    job = world.job()
    world.run(worker)
    found = world.reasons(job)
    assert list(found) == ["running"]
    assert found["running"].text.startswith(
        "It runs on worker here:7, backend 'asyncio', attempt 1, since 20"
    )
    assert found["running"].values["worker"] == "here:7"
    hidden = world.reasons(job, Viewer(sees_workers=False))["running"]
    assert "here" not in hidden.text + str(hidden.values)


def test_one_that_was_asked_to_stop(world: World) -> None:
    worker = world.worker()
    job = world.job()
    world.run(worker)
    world.store.write_sync(RequestCancel(job, utc_now(), "too slow"))
    found = world.reasons(job)
    assert list(found) == ["running", "cancel_requested"]
    assert ": too slow. Its worker ends it;" in found["cancel_requested"].text


def test_one_whose_worker_is_gone(world: World) -> None:
    worker = world.worker(heartbeat_at=utc_now() - timedelta(minutes=1))
    job = world.job()
    world.run(worker)
    found = world.reasons(job)
    assert list(found) == ["running", "worker_gone"]
    assert found["worker_gone"].text == (
        "Its worker here:7 does not beat any more: another worker takes the job back within "
        "about 15 s. No other worker lives. Start the app, or: fastapi-jobs worker"
    )
    world.worker(pid=8)
    assert "No other worker" not in world.reasons(job)["worker_gone"].text


def test_how_it_ended(world: World) -> None:
    worker = world.worker()
    good, bad, gone = world.job(), world.job(), world.job()
    first, second = world.run(worker, 2)
    world.store.write_sync(finish_of(first, at=utc_now()))
    world.store.write_sync(failure_of(second, at=utc_now()))
    world.store.write_sync(RequestCancel(gone, utc_now(), "not needed"))
    succeeded, failed, cancelled = (world.reasons(job) for job in (good, bad, gone))
    assert succeeded["succeeded"].text.startswith("It succeeded in its first attempt at 20")
    assert failed["failed"].text.startswith("It failed in its first attempt at 20")
    assert failed["failed"].text.endswith(" UTC: boom.")
    assert cancelled["cancelled"].text.startswith("It was cancelled before it started at 20")
    assert cancelled["cancelled"].text.endswith(": not needed.")


def test_its_key_is_held(world: World) -> None:
    first = insert_unique(world.store, "key")
    world.store.write_sync(RequestCancel(first.id, utc_now()))
    second = insert_unique(world.store, "key")
    found = world.reasons(first.id)
    assert list(found) == ["cancelled", "key_held"]
    assert found["key_held"].text == (
        f"Its unique key is held by job {second.id}, which is queued: it cannot run again until "
        "that one gives it up."
    )
    hidden = world.reasons(first.id, Viewer(lambda owner: False))["key_held"]
    assert str(second.id) not in hidden.text + str(hidden.values)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.44, "0.4 s"),
        (9.0, "9 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90061, "1 d 1 h"),
        (8640000, "100 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
