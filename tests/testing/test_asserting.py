"""What was enqueued, and what the assertions say of it."""

from datetime import UTC, datetime, timedelta
from unittest.mock import ANY
from uuid import UUID

import pytest

from fastapi_jobs import JobStatus
from fastapi_jobs.errors import InvalidArguments, InvalidOption
from fastapi_jobs.testing import JobsTest
from tests.testing.tasks import SENT, add_up, anything, identify, send_welcome

TASKS = "tests.testing.tasks"


def says(message: str, error: pytest.ExceptionInfo[AssertionError]) -> None:
    assert str(error.value) == message


def test_what_is_enqueued_is_recorded_and_not_run(jobs_test: JobsTest) -> None:
    job = send_welcome.enqueue_sync("ada@example.com", name="Ada")
    [enqueued] = jobs_test.enqueued(send_welcome)
    assert enqueued.job == job
    assert enqueued.arguments == {"email": "ada@example.com", "name": "Ada", "times": 1}
    assert (enqueued.job.queue, enqueued.job.status) == ("mail", JobStatus.QUEUED)
    assert SENT == []
    assert repr(enqueued) == (
        "<EnqueuedJob send_welcome(email='ada@example.com', name='Ada', times=1) queued>"
    )


async def test_arguments_are_python_values(jobs_test: JobsTest) -> None:
    order, at = UUID(int=7), datetime(2024, 2, 29, tzinfo=UTC)
    await identify.enqueue(order, at)
    assert jobs_test.assert_enqueued(identify, order, at=at).arguments["order"] == order
    await anything.enqueue(1, 2, color="red")
    jobs_test.assert_enqueued(anything, 1, 2)
    jobs_test.assert_enqueued(anything, color="red")
    jobs_test.assert_not_enqueued(anything, color="blue")
    jobs_test.assert_not_enqueued(anything, size="small")


async def test_all_of_every_task_oldest_first(jobs_test: JobsTest) -> None:
    await add_up.enqueue([1])
    await send_welcome.enqueue("a@b.c")
    await add_up.enqueue([2])
    assert [each.arguments["numbers"] for each in jobs_test.enqueued(add_up)] == [[1], [2]]
    names = [each.job.task.rpartition(".")[2] for each in jobs_test.enqueued()]
    assert names == ["add_up", "send_welcome", "add_up"]


async def test_what_is_left_out_may_be_anything(jobs_test: JobsTest) -> None:
    await send_welcome.enqueue("ada@example.com", "Ada")
    jobs_test.assert_enqueued(send_welcome)
    jobs_test.assert_enqueued(send_welcome, "ada@example.com")
    jobs_test.assert_enqueued(send_welcome, name="Ada")
    jobs_test.assert_enqueued(send_welcome, times=1)
    jobs_test.assert_enqueued(send_welcome, ANY, "Ada")
    jobs_test.assert_not_enqueued(send_welcome, name="Bob")
    jobs_test.assert_not_enqueued(add_up)


async def test_the_newest_match_is_returned(jobs_test: JobsTest) -> None:
    await add_up.enqueue([1])
    newest = await add_up.enqueue([1])
    assert jobs_test.assert_enqueued(add_up, [1]).job == newest


async def test_options(jobs_test: JobsTest) -> None:
    at = datetime.now(UTC) + timedelta(days=1)
    await send_welcome.using(
        queue="vip",
        priority=5,
        run_after=60,
        expires=at,
        backend="thread",
        unique_key="ada",
        owner="ada",
        tags=["a", "b"],
        metadata={"order": 1, "more": 2},
    ).enqueue("a@b.c")
    wanted = send_welcome.using
    for task in (
        wanted(queue="vip", priority=5),
        wanted(run_after=60),
        wanted(run_after=timedelta(minutes=1)),
        wanted(expires=at),
        wanted(backend="thread"),
        wanted(unique_key="ada"),
        wanted(owner="ada", tags=["b"]),
        wanted(metadata={"order": 1}),
    ):
        jobs_test.assert_enqueued(task, "a@b.c")
    for task in (
        wanted(queue="mail"),
        wanted(priority=4),
        wanted(run_after=61),
        wanted(expires=60),
        wanted(backend="process"),
        wanted(unique_key="bob"),
        wanted(owner="bob"),
        wanted(tags=["c"]),
        wanted(metadata={"order": 2}),
    ):
        jobs_test.assert_not_enqueued(task, "a@b.c")


async def test_the_message_shows_the_nearest_first(jobs_test: JobsTest) -> None:
    await send_welcome.enqueue("bob@example.com", "Bob")
    await send_welcome.enqueue("ada@example.com", "Ada")
    await send_welcome.enqueue("ada@example.com", times=3)
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(send_welcome.using(queue="vip"), "ada@example.com", name="Ada")
    says(
        f"""\
No job of {TASKS}.send_welcome was enqueued like this:
    send_welcome(email='ada@example.com', name='Ada').using(queue='vip')
But these were, the nearest first:
  1. send_welcome(email='ada@example.com', name='Ada', times=1)
       queue: 'mail', not 'vip'
  2. send_welcome(email='ada@example.com', name='you', times=3)
       name: 'you', not 'Ada'
       queue: 'mail', not 'vip'
  3. send_welcome(email='bob@example.com', name='Bob', times=1)
       email: 'bob@example.com', not 'ada@example.com'
       name: 'Bob', not 'Ada'
       queue: 'mail', not 'vip'""",
        error,
    )


async def test_the_message_for_one_and_for_many(jobs_test: JobsTest) -> None:
    await add_up.enqueue([1])
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(add_up, [2])
    says(
        f"""\
No job of {TASKS}.add_up was enqueued like this:
    add_up(numbers=[2])
But this one was:
  1. add_up(numbers=[1])
       numbers: [1], not [2]""",
        error,
    )
    for number in range(6):
        await add_up.enqueue([number, 0])
    with pytest.raises(AssertionError, match=r"  5\. .*\n.*\n  … and 2 more$"):
        jobs_test.assert_enqueued(add_up, [2])


async def test_the_message_for_none_of_that_task(jobs_test: JobsTest) -> None:
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(add_up)
    says(f"No job of {TASKS}.add_up was enqueued.\nNothing was enqueued at all.", error)
    await anything.enqueue()
    await anything.enqueue()
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(add_up, [1])
    says(
        f"""\
No job of {TASKS}.add_up was enqueued.
Wanted:
    add_up(numbers=[1])
Enqueued were jobs of other tasks: {TASKS}.anything (2).""",
        error,
    )


async def test_the_message_of_what_should_not_be(jobs_test: JobsTest) -> None:
    await add_up.enqueue([1])
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_not_enqueued(add_up)
    says(
        f"""\
A job of {TASKS}.add_up was enqueued, and none should be:
  1. add_up(numbers=[1])""",
        error,
    )
    await add_up.enqueue([1])
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_not_enqueued(add_up, [1])
    says(
        f"""\
2 jobs of {TASKS}.add_up were enqueued like this, and none should be:
    add_up(numbers=[1])
Namely:
  1. add_up(numbers=[1])
  2. add_up(numbers=[1])""",
        error,
    )


async def test_the_message_about_times_and_extras(jobs_test: JobsTest) -> None:
    await anything.using(run_after=60, tags=["a"], metadata={"k": 1}).enqueue(color="red")
    wanted = anything.using(
        run_after=90, expires=5, unique_key="key", tags=["b"], metadata={"k": 2}
    )
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(wanted, color="blue", size="small")
    text = str(error.value)
    for line in (
        "color: 'red', not 'blue'",
        "size: not given, not 'small'",
        "(60 s from the enqueue), not ",
        "(90 s from the enqueue)",
        "expires: at no time, not ",
        "unique_key: none, not 'key'",
        "tags: ['a'], not ['b']",
        "metadata: {'k': 1}, not {'k': 2}",
    ):
        assert line in text


async def test_long_values_are_cut(jobs_test: JobsTest) -> None:
    await send_welcome.enqueue("a" * 5000 + "!")
    with pytest.raises(AssertionError) as error:
        jobs_test.assert_enqueued(send_welcome, "a" * 5000 + "?")
    assert len(str(error.value)) < 1200
    assert "!', not 'aaa" in str(error.value)


def test_wrong_use_is_told(jobs_test: JobsTest) -> None:
    with pytest.raises(InvalidArguments, match=r"there is no parameter 'emial'.*mean 'email'"):
        jobs_test.assert_enqueued(send_welcome, emial="a@b.c")
    with pytest.raises(InvalidArguments, match="it takes 2 positional arguments"):
        jobs_test.assert_not_enqueued(send_welcome, "a@b.c", "Ada", 3)
    with pytest.raises(InvalidOption, match=r"give a task. Mark the function with @task\."):
        jobs_test.assert_enqueued(says)  # type: ignore[arg-type]
