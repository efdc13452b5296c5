"""How children of a pool start, wear out, and end with their parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastapi_jobs.backends import child, children
from fastapi_jobs.backends.child_errors import ChildDied, ChildFailedToStart
from fastapi_jobs.backends.children import ChildPool
from tests.backends.pools import ECHO_CHILD, LIMIT, Events, echo_pool, is_running, nothing, until
from tests.servers import wait_until

ORPHAN_MAKER = Path(__file__).with_name("orphan_maker.py")


async def test_a_child_that_fails_to_start_says_why() -> None:
    async with echo_pool("--start=fail") as pool:
        with pytest.raises(ChildFailedToStart) as caught:
            await pool.call(b"echo x", on_frame=nothing)
    assert (caught.value.exit_code, caught.value.signal) == (1, None)
    text = str(caught.value)
    assert text.startswith(
        "The child process could not start: it ended with exit code 1 before it was ready. "
        "Its last words:\nTraceback"
    )
    assert text.endswith("RuntimeError: the tasks of this child cannot be imported")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("/no/such/python",), "'/no/such/python' cannot be executed: [Errno 2] No such file"),
        ((sys.executable, "-m", "no_such_module"), "No module named no_such_module"),
        ((sys.executable, "-c", "pass"), "exit code 0 before it was ready. It wrote nothing to"),
        ((sys.executable, "-c", "import os; os.abort()"), "was ended by signal SIGABRT before"),
    ],
)
async def test_a_command_that_is_no_child_is_reported(
    command: tuple[str, ...], sentence: str
) -> None:
    pool = ChildPool(command=command, size=1, hello=b"")
    await pool.start()
    with pytest.raises(ChildFailedToStart) as caught:
        await pool.call(b"echo x", on_frame=nothing)
    assert sentence in str(caught.value)
    await pool.stop()


async def test_failing_starts_pause_instead_of_spinning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE", 0.2)
    async with echo_pool("--start=fail", size=2) as pool:
        started = time.monotonic()
        # Each call raises the failure of one start; the next start waits 0.2, then 0.4 s.
        for _ in range(3):
            with pytest.raises(ChildFailedToStart):
                await pool.call(b"echo x", on_frame=nothing)
        assert time.monotonic() - started >= 0.6
    pauses = [str(record.msg % record.args) for record in caplog.records]
    assert [text.rpartition("The next start waits ")[2] for text in pauses] == [
        "0.2 s.",
        "0.4 s.",
        "0.8 s.",
    ]


async def test_all_waiting_calls_hear_of_a_failed_start() -> None:
    async with echo_pool("--start=fail", size=2) as pool:
        calls = [pool.call(b"echo x", on_frame=nothing) for _ in range(5)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {ChildFailedToStart}


async def test_a_child_that_hangs_while_starting_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "START_SECONDS", 0.3)
    async with echo_pool("--start=hang") as pool:
        with pytest.raises(ChildFailedToStart, match=r"it was not ready after 0.3 s"):
            await pool.call(b"echo x", on_frame=nothing)
        assert pool.pids == []


async def test_a_call_can_be_cancelled_while_its_child_hangs_in_the_start() -> None:
    async with echo_pool("--start=hang") as pool:
        call = asyncio.create_task(pool.call(b"echo x", on_frame=nothing))
        await until(lambda: bool(pool.pids))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_stderr_reaches_ours_also_what_was_written_while_starting(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async with echo_pool("--start=warn") as pool:
        await pool.call(b"complain about the call", on_frame=nothing)
    assert capfd.readouterr().err == "a warning while starting\nabout the call\n"


async def test_a_child_is_replaced_after_max_calls() -> None:
    async with echo_pool(max_calls=3) as pool:
        pids = [await pool.call(b"say_pid", on_frame=nothing) for _ in range(9)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
        # The next one is started before it is needed, the old one is gone by itself.
        await until(lambda: [info.phase for info in pool.children] == [child.ChildPhase.IDLE])
        assert str(pool.pids[0]).encode() not in pids


async def test_a_retired_child_that_does_not_leave_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "LEAVE_SECONDS", 0.2)
    async with echo_pool("--stay", max_calls=1) as pool:
        pid = int(await pool.call(b"say_pid", on_frame=nothing))
        assert is_running(pid)
        await until(lambda: not is_running(pid))


async def test_a_child_above_max_memory_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    assert children.can_measure() or sys.platform != "linux"
    if not children.can_measure():
        async with echo_pool(max_memory=100_000_000):
            assert "max_memory needs /proc" in caplog.text
        return
    async with echo_pool(max_memory=100_000_000) as pool:
        first = await pool.call(b"eat 1000", on_frame=nothing)
        assert await pool.call(b"eat 1000", on_frame=nothing) == first
        assert await pool.call(b"eat 150000000", on_frame=nothing) == first
        assert await pool.call(b"eat 1000", on_frame=nothing) != first


async def test_a_lost_exit_code_is_admitted() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        async with echo_pool() as pool:
            with pytest.raises(ChildDied, match="in an unknown way") as caught:
                await pool.call(b"leave 3", on_frame=nothing)
            assert (caught.value.exit_code, caught.value.signal) == (None, None)
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("options", [[], ["--watch-by-thread"]])
def test_no_child_survives_a_killed_parent(options: list[str]) -> None:
    command = [sys.executable, str(ORPHAN_MAKER), *ECHO_CHILD, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        parent.kill()
    wait_until(lambda: not any(map(is_running, pids)), LIMIT)


async def test_children_are_not_reached_by_ctrl_c() -> None:
    async with echo_pool() as pool:
        events = Events()
        call = asyncio.create_task(pool.call(b"busy", on_frame=events))
        pid = int(await events.first())
        assert os.getsid(pid) == os.getpgid(pid) == pid
        call.cancel()
        await asyncio.wait([call])


async def test_a_pool_needs_a_child() -> None:
    with pytest.raises(ValueError, match="size=0: a pool needs at least 1 child process"):
        ChildPool(command=ECHO_CHILD, size=0, hello=b"")
