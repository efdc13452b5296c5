"""A backend of somebody else's is held to the suite: a good one passes, broken ones are caught."""

from collections.abc import Collection

import pytest

pytest_plugins = ("pytester",)

OWN = """
import asyncio
from fastapi_jobs.backends.base import Backend
from fastapi_jobs.runner import Report, call_async, call_sync
from fastapi_jobs.status import AttemptOutcome

class Own(Backend):
    '''Every job in a thread of asyncio's, `async def` ones on a loop that lives as long.'''

    async def submit(self, call):
        timer = None
        if call.timeout is not None and not call.definition.is_async:
            timer = asyncio.get_running_loop().call_later(call.timeout, call.mark_overdue)
        try:
            return await asyncio.to_thread(self.run, call)
        finally:
            if timer is not None:
                timer.cancel()

    def run(self, call):
        return asyncio.run(call_async(call)) if call.definition.is_async else call_sync(call)

    def cancel(self, call):
        call.cancel_requested = True
        call.interrupt()

    def release(self, call):
        call.released = True
        call.interrupt()

class OnTheLoop(Own):
    async def submit(self, call):
        return await call_async(call) if call.definition.is_async else call_sync(call)

class Boaster(Own):
    stops_sync = True
    shares_process = False

class Deaf(Own):
    def cancel(self, call):
        pass

class Timeless(Own):
    async def submit(self, call):
        return await asyncio.to_thread(self.run, call)

class Raiser(Own):
    def run(self, call):
        args, kwargs = call.definition.arguments.load(call.claimed.args)
        value = call.definition.function(*args, **kwargs)
        return Report(AttemptOutcome.SUCCEEDED, result=str(value))

class Silent(Own):
    def shortcomings(self, definition, timeout):
        return []
"""

TEST = """
class Test{name}(BackendConformance):
    backend = "own:{name}"
"""


def judge(pytester: pytest.Pytester, names: Collection[str], *options: str) -> pytest.RunResult:
    """Run the suite over some of the backends above."""
    ini = "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope=function"
    pytester.makeini(ini)
    tests = [TEST.format(name=name) for name in names]
    suite = "from fastapi_jobs.testing.backends import BackendConformance\n"
    pytester.makepyfile(own=OWN, test_mine=suite + "".join(tests))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", *options)


def test_a_good_backend_passes(pytester: pytest.Pytester) -> None:
    result = judge(pytester, ["Own"])
    assert result.ret == 0, result.stdout.str()
    assert result.parseoutcomes()["passed"] > 40


@pytest.mark.parametrize(
    ("name", "caught"),
    [
        ("OnTheLoop", "test_a_sync_function_does_not_block_the_event_loop"),
        ("Boaster", "test_it_shares_the_process_as_it_says"),
        ("Boaster", "test_a_crash_hurts_only_the_job"),
        ("Silent", "test_what_a_timeout_cannot_do_is_said_beforehand"),
        ("Raiser", "test_a_failure_is_reported_and_not_raised"),
        ("Raiser", "test_a_task_knows_its_job_and_reports"),
        ("Raiser", "test_a_result_that_cannot_be_kept_fails"),
    ],
)
def test_a_broken_one_is_caught(pytester: pytest.Pytester, name: str, caught: str) -> None:
    result = judge(pytester, [name], "-k", caught)
    assert result.parseoutcomes().get("failed"), result.stdout.str()


WAITING = (
    "TestDeaf::test_cancel_stops_what_it_says_it_stops[async def]",
    "TestDeaf::test_a_sync_task_that_asks_is_told_of_the_cancel",
    "TestTimeless::test_a_sync_task_that_asks_ends_at_its_timeout",
    "TestBoaster::test_cancel_stops_what_it_says_it_stops[def]",
)


@pytest.mark.slow
def test_those_that_let_wait_are_caught(pytester: pytest.Pytester) -> None:
    """Each waits half a minute for what never comes; they do so side by side."""
    chosen = [f"test_mine.py::{each}" for each in WAITING]
    result = judge(pytester, ("Deaf", "Timeless", "Boaster"), "-n", str(len(chosen)), *chosen)
    assert result.parseoutcomes() == {"failed": len(chosen)}, result.stdout.str()
