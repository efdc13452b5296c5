"""Why a waiting job does not start: each obstacle with its sentence and its values."""

from datetime import timedelta

import pytest

from fastapi_jobs.clock import utc_now, uuid7
from fastapi_jobs.errors import JobNotFound
from fastapi_jobs.explaining import Viewer
from fastapi_jobs.store.queues import PauseQueue, ResumeQueue
from fastapi_jobs.store.rescue import CrashRules, RescueWorker
from fastapi_jobs.store.workers import QuietWorker
from tests.explaining.conftest import LIMITED, TASK, World
from tests.servers import wait_until
from tests.store.driving import retry_of


def test_nothing_stands_in_its_way(world: World) -> None:
    world.worker()
    found = world.reasons(world.job())
    assert list(found) == ["next"]
    assert found["next"].text == ("Nothing stands in its way: a worker takes it within about 1 s.")


def test_a_job_that_does_not_exist(world: World) -> None:
    missing = uuid7()
    with pytest.raises(JobNotFound, match=str(missing)):
        world.reasons(missing)


def test_not_due(world: World) -> None:
    world.worker()
    due = utc_now() + timedelta(hours=2, minutes=30, seconds=30)
    found = world.reasons(world.job(run_after=due))
    assert list(found) == ["not_due"]
    said = found["not_due"]
    assert said.text == f"It is not due until {due:%Y-%m-%d %H:%M:%S} UTC, in 2 h 30 min."
    assert said.values["run_after"] == due.isoformat()
    assert 9000 < said.values["seconds"] <= 9030


def test_due_but_not_yet_looked_at(world: World) -> None:
    world.worker()
    job = world.job(run_after=utc_now() + timedelta(seconds=0.2))
    wait_until(lambda: "next" in world.reasons(job), 20, lambda: str(world.reasons(job)))
    assert "the next look of a worker queues it" in world.reasons(job)["next"].text


def test_it_waits_to_be_tried_again(world: World) -> None:
    worker = world.worker()
    job = world.job()
    [claimed] = world.run(worker)
    world.store.write_sync(retry_of(claimed, at=utc_now(), after=60))
    found = world.reasons(job)
    assert list(found) == ["not_due", "retrying"]
    assert found["retrying"].text == "It waits to run again: attempt 1 failed: boom."
    assert found["retrying"].values["failures"] == 1


def test_it_expires(world: World) -> None:
    world.worker()
    now = utc_now()
    soon = world.reasons(world.job(expires_at=now + timedelta(minutes=150, seconds=30)))
    assert list(soon) == ["next", "expires"]
    assert soon["expires"].text.startswith("It is cancelled if it has not started in 2 h 30 min")
    late = world.reasons(
        world.job(run_after=now + timedelta(hours=2), expires_at=now + timedelta(hours=1))
    )
    assert "before it is due: it will be cancelled." in late["expires"].text


def test_paused_by_a_person(world: World) -> None:
    world.worker()
    job = world.job()
    since = utc_now() - timedelta(hours=5)
    world.store.write_sync(PauseQueue("q", since, "ann", "mail is down"))
    found = world.reasons(job)
    assert list(found) == ["paused"]
    assert found["paused"].text == (
        f"Queue 'q' is paused by ann since {since:%Y-%m-%d %H:%M:%S} UTC (5 h ago): "
        "mail is down. Resume it: fastapi-jobs resume q"
    )
    assert found["paused"].values["by"] == "ann"
    hidden = world.reasons(job, Viewer(sees_workers=False))["paused"]
    assert "ann" not in hidden.text + str(hidden.values)
    assert "mail" not in hidden.text + str(hidden.values)


def test_paused_by_the_settings(world: World) -> None:
    world.worker()
    world.change(queues={"q": {"paused": True}})
    found = world.reasons(world.job())
    assert found["paused"].text.startswith("Queue 'q' is paused by the settings: queues.q.paused (")
    assert found["paused"].values["by"] == "settings"


def test_a_full_queue_names_who_holds_it(world: World) -> None:
    world.change(queues={"q": {"max_running": 2}})
    worker = world.worker()
    mine, other = world.job(owner="ann"), world.job(owner="bob")
    world.run(worker, 2)
    found = world.reasons(world.job(owner="ann"))
    assert list(found) == ["queue_full"]
    said = found["queue_full"]
    assert said.text.startswith("Queue 'q' runs at most 2 at a time (max_running), and 2 run: job ")
    assert {each["id"] for each in said.values["holders"]} == {str(mine), str(other)}
    assert said.values["holders"][0]["worker"] == "here:7"
    assert f"job {mine} ({TASK} on here:7, for " in said.text


def test_a_limited_viewer_learns_of_no_other_owner(world: World) -> None:
    world.change(queues={"q": {"max_running": 2}})
    worker = world.worker()
    mine, other = world.job(owner="ann"), world.job(owner="bob")
    world.run(worker, 2)
    waiting = world.job(owner="ann")
    said = world.reasons(waiting, Viewer(lambda owner: owner == "ann", sees_workers=False))[
        "queue_full"
    ]
    shown = said.text + str(said.values)
    assert str(mine) in shown
    assert "at a time (max_running); of yours runs job " in said.text
    assert said.values["running"] == 1
    assert str(other) not in shown
    assert "here" not in shown
    blind = world.reasons(waiting, Viewer(lambda owner: False, sees_workers=False))["queue_full"]
    assert blind.text.endswith("at a time (max_running).")
    assert (blind.values["running"], blind.values["holders"]) == (0, [])


def test_a_limited_viewer_does_not_learn_how_many_come_first(world: World) -> None:
    world.job(owner="bob")
    mine = world.job(owner="ann")
    world.worker()
    hidden = world.reasons(mine, Viewer(lambda owner: owner == "ann", sees_workers=False))
    assert hidden["behind"].text == "Other jobs come first."
    assert hidden["behind"].values == {"ahead": None, "priority": 0}
    assert world.reasons(mine)["behind"].values["ahead"] == 1


def test_a_limit_counts_as_long_as_it_is_in_force(world: World) -> None:
    world.change(queues={"q": {"max_running": 1}})
    worker = world.worker()
    world.job()
    world.run(worker)
    waiting = world.job()
    assert list(world.reasons(waiting)) == ["queue_full"]
    world.change()
    assert list(world.reasons(waiting)) == ["next"]


def test_a_full_task(world: World) -> None:
    worker = world.worker()
    world.job(LIMITED)
    [held] = world.run(worker)
    found = world.reasons(world.job(LIMITED))
    assert list(found) == ["task_full"]
    assert f"Task {LIMITED!r} runs at most 1 at a time (max_running)" in found["task_full"].text
    assert [each["id"] for each in found["task_full"].values["holders"]] == [str(held.id)]


def test_a_full_backend(world: World) -> None:
    first, second = world.worker(slots=1), world.worker(slots=2, pid=8)
    for _ in range(8):
        world.job()
    world.run(first, 1)
    world.run(second, 1)
    waiting = world.job()
    assert "backend_full" not in world.reasons(waiting)
    world.run(second, 1)
    said = world.reasons(waiting)["backend_full"]
    assert said.text.startswith(
        "All 3 slots of backend 'asyncio' on all 2 live workers are taken, and 3 run: job "
    )
    assert {each["worker"] for each in said.values["holders"]} == {"here:7", "here:8"}


def test_a_worker_of_another_backend_is_no_free_slot(world: World) -> None:
    world.worker(slots=1)
    world.worker(pid=8, backends='["thread"]', slots=9)
    for _ in range(3):
        waiting = world.job()
    [row] = [each for each in [world.run(world.worker(slots=1, pid=9), 1)] if each]
    assert row
    assert "backend_full" not in world.reasons(waiting)


def test_behind_others(world: World) -> None:
    world.worker()
    world.change(queues={"fast": {"priority": 5}})
    for _ in range(3):
        world.job(priority=7)
    for _ in range(2):
        world.job()
    world.job(LIMITED)
    world.job(queue="fast", priority=-9)
    mine = world.job()
    world.job(priority=-1)
    world.job()
    found = world.reasons(mine)
    assert list(found) == ["behind"]
    assert found["behind"].text == (
        "7 jobs wait ahead of it: 1 in queue 'fast', which is served first (priority 5), "
        "3 of priority 7, 3 of priority 0 that are older."
    )
    assert found["behind"].values == {
        "ahead": 7,
        "is_capped": False,
        "priority": 0,
        "by_priority": {"7": 3, "0": 3, "-9": 1},
    }


def test_lanes_that_cannot_start_are_not_ahead(world: World) -> None:
    worker = world.worker(tasks=f'["{TASK}", "{LIMITED}"]')
    world.job(LIMITED)
    world.run(worker)
    world.job(LIMITED, priority=9)
    world.job("nobody.knows", priority=9)
    world.job(queue="paused", priority=9)
    world.store.write_sync(PauseQueue("paused", utc_now()))
    world.job(backend="thread", priority=9)
    assert list(world.reasons(world.job())) == ["next"]


def test_no_worker(world: World) -> None:
    job = world.job()
    found = world.reasons(job)
    assert list(found) == ["no_worker"]
    assert found["no_worker"].text == ("No worker lives. Start the app, or: fastapi-jobs worker")
    world.worker(heartbeat_at=utc_now() - timedelta(minutes=5))
    said = world.reasons(job)["no_worker"]
    assert "here:7 stopped beating." in said.text
    assert "here" not in world.reasons(job, Viewer(sees_workers=False))["no_worker"].text


def test_no_worker_knows_the_task(world: World) -> None:
    world.worker(tasks='["explained.plan"]')
    found = world.reasons(world.job())
    assert list(found) == ["unknown_task"]
    assert found["unknown_task"].text == (
        f"No live worker knows task {TASK!r}. It is registered here: restart the workers with "
        "this version of the code."
    )
    renamed = world.reasons(world.job("explained.pla"))["unknown_task"]
    assert renamed.text.endswith(
        "its module is missing in task_modules. Did you mean 'explained.plan'?"
    )


def test_no_worker_serves_the_queue(world: World) -> None:
    world.worker(queues='["mail"]')
    found = world.reasons(world.job())
    assert list(found) == ["queue_unserved"]
    assert found["queue_unserved"].text.endswith("Start one: fastapi-jobs worker --queue q")


def test_no_worker_runs_the_backend(world: World) -> None:
    world.worker()
    found = world.reasons(world.job(backend="process"))
    assert list(found) == ["backend_unserved"]
    assert "It needs backend 'process', and no live worker that serves queue 'q' runs it." in (
        found["backend_unserved"].text
    )


def test_nobody_for_a_job_on_celery(world: World) -> None:
    """The app itself lives, knows the task and serves the queue, and runs none of its jobs."""
    world.change(queues={"q": {"backend": "celery"}}, celery={"broker_url": "memory://"})
    job = world.job()
    start = "fastapi-jobs worker --backend celery"
    assert world.reasons(job)["no_worker"].text == f"No worker lives. Start one: {start}"
    world.worker()
    assert world.reasons(job)["backend_unserved"].text == (
        "It needs backend 'celery', and no live worker that serves queue 'q' runs it. "
        f"Start one: {start}"
    )
    world.worker(pid=8, backends='["celery"]', tasks='["explained.plan"]')
    assert world.reasons(job)["unknown_task"].text.startswith(
        f"No live worker that runs backend 'celery' knows task {TASK!r}. It is registered here:"
    )
    world.worker(pid=9, backends='["celery"]', queues='["default"]')
    assert world.reasons(job)["backend_unserved"].text.endswith(f"Start one: {start} --queue q")
    world.worker(pid=10, backends='["celery"]', queues='["q"]')
    assert list(world.reasons(job)) == ["next"]


def test_an_undeclared_queue_is_served_with_the_default_on_celery(world: World) -> None:
    world.change(backend="celery", celery={"broker_url": "memory://"})
    job = world.job(queue="anything")
    world.worker(backends='["celery"]', queues='["mail"]')
    assert world.reasons(job)["queue_unserved"].text.endswith("worker --queue default")
    world.worker(pid=8, backends='["celery"]', queues='["default"]')
    assert list(world.reasons(job)) == ["next"]


def test_a_suspect_waits_to_run_alone(world: World) -> None:
    victim = world.worker()
    jobs = [world.job(), world.job()]
    world.run(victim, 2)
    rules = CrashRules(3, frozenset(), lambda task: False)
    world.store.write_sync(RescueWorker(victim, 0, utc_now(), rules))
    world.worker(pid=8)
    first, second = (world.reasons(job) for job in sorted(jobs))
    assert list(first) == ["suspect"]
    assert first["suspect"].values == {"suspects_ahead": 0}
    assert "it waits to run alone, in a worker that runs nothing else." in first["suspect"].text
    assert "1 other of the kind" in second["suspect"].text


def test_busy_workers_make_way_for_a_suspect(world: World) -> None:
    victim = world.worker()
    suspect = [world.job(queue="suspects"), world.job(queue="suspects")]
    world.run(victim, 2)
    busy = world.worker(pid=8)
    world.job()
    world.run(busy)
    waiting = world.job()
    assert list(world.reasons(waiting)) == ["next"]
    rules = CrashRules(3, frozenset(), lambda task: False)
    world.store.write_sync(RescueWorker(victim, 0, utc_now(), rules))
    found = world.reasons(waiting)
    assert list(found) == ["suspect_first"]
    assert found["suspect_first"].text == (
        "2 jobs that may have killed a process must run alone: to make way, busy workers start "
        "nothing for up to 10 s at a time."
    )
    limited = world.reasons(waiting, Viewer(sees_workers=False))["suspect_first"]
    assert limited.text.startswith("A job that may have killed a process must run alone: ")
    assert limited.values == {"suspects": None, "seconds": 10.0}
    world.store.write_sync(PauseQueue("suspects", utc_now()))  # they would not run: no way is made
    assert list(world.reasons(waiting)) == ["next"]
    world.store.write_sync(ResumeQueue("suspects"))
    idle = world.worker(pid=9)  # takes a suspect next, and runs nothing beside it
    assert list(world.reasons(waiting)) == ["next"]
    [taken] = world.run(idle, idle=True)
    assert taken.id in suspect
    assert list(world.reasons(waiting)) == ["suspect_first"]


def test_nothing_starts_beside_a_suspect(world: World) -> None:
    victim = world.worker()
    world.job()
    world.job()
    world.run(victim, 2)
    rules = CrashRules(3, frozenset(), lambda task: False)
    world.store.write_sync(RescueWorker(victim, 0, utc_now(), rules))
    [suspect] = world.run(world.worker(pid=8), idle=True)
    waiting = world.job()
    found = world.reasons(waiting)
    assert list(found) == ["suspect_first"]
    said = "Beside a job that may have killed its process, a worker starts nothing, and 1 runs: job"
    assert found["suspect_first"].text.startswith(f"{said} {suspect.id} ({TASK} on here:8, for ")
    limited = world.reasons(waiting, Viewer(lambda owner: False, sees_workers=False))
    assert str(suspect.id) not in str(limited["suspect_first"])


def test_every_worker_that_would_run_it_is_quieted(world: World) -> None:
    quiet = world.worker(quiet=True)
    stranger = world.worker(pid=8, tasks="[]")
    job = world.job()
    found = world.reasons(job)
    assert list(found) == ["quiet"]
    assert found["quiet"].text == (
        "Every live worker that would run it is quieted (here:7) and takes nothing more. "
        "Let one go on, or start another: fastapi-jobs worker --backend asyncio"
    )
    assert found["quiet"].values == {"workers": ["here:7"]}
    theirs = world.reasons(job, Viewer(sees_workers=False))["quiet"]
    assert "here:7" not in theirs.text
    assert theirs.values == {"workers": []}
    world.store.write_sync(QuietWorker(stranger, True))
    assert list(world.reasons(job)) == ["quiet"]
    world.store.write_sync(QuietWorker(quiet, False))
    assert list(world.reasons(job)) == ["next"]
