"""Calls in killable child processes: answers, events, deaths, timeouts, cancels."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
import uvloop

from fastapi_jobs.backends.child import ChildPhase
from fastapi_jobs.backends.child_errors import ChildDied, ChildPoolStopped, ChildTimeout
from fastapi_jobs.backends.children import ChildPool
from fastapi_jobs.channel import MAX_FRAME, FrameTooLarge
from tests.backends.pools import (
    LIMIT,
    Events,
    child_threads,
    echo_pool,
    is_running,
    nothing,
    until,
)
from tests.servers import wait_until

MEGABYTES_50 = 50_000_000


async def test_a_call_returns_its_result_and_the_child_stays_warm() -> None:
    async with echo_pool(size=2) as pool:
        assert pool.pids == []
        assert await pool.call(b"echo a\x00b\xff", on_frame=nothing) == b"a\x00b\xff"
        pid = await pool.call(b"say_pid", on_frame=nothing)
        assert await pool.call(b"say_pid", on_frame=nothing) == pid
        (child,) = pool.children
        assert (child.pid, child.phase, child.calls) == (int(pid), ChildPhase.IDLE, 3)
        assert await pool.call(b"hello", on_frame=nothing) == b"good morning"
        assert await pool.call(b"echo ", on_frame=nothing) == b""


async def test_a_thousand_calls_over_three_children_each_get_their_own_answer() -> None:
    async with echo_pool(size=3) as pool:
        calls = [pool.call(b"echo %d" % n, on_frame=nothing) for n in range(1000)]
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(1000)]
        assert len(pool.pids) == 3


async def test_no_more_calls_run_at_once_than_there_are_children() -> None:
    async with echo_pool(size=2) as pool:
        seen = [Events() for _ in range(4)]
        calls = [asyncio.create_task(pool.call(b"busy", on_frame=events)) for events in seen]
        await until(lambda: sum(bool(events.bodies) for events in seen) == 2)
        assert len(pool.pids) == 2
        calls[0].cancel()
        await seen[2].first()
        assert not seen[3].bodies
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


async def test_events_come_in_order_and_before_the_result() -> None:
    async with echo_pool() as pool:
        events = Events()
        assert await pool.call(b"count 20000", on_frame=events) == b"counted"
        assert events.bodies == [b"%d" % n for n in range(20000)]


async def test_threads_of_a_child_may_send_at_once() -> None:
    async with echo_pool() as pool:
        events = Events()
        await pool.call(b"send_in_threads 700000", on_frame=events)
        whole = [letter * 700_000 for letter in (b"a", b"b", b"c", b"d") for _ in range(5)]
        assert sorted(events.bodies) == whole


async def test_a_flood_of_events_leaves_time_for_the_loop() -> None:
    async with echo_pool() as pool:
        await pool.call(b"echo warm", on_frame=nothing)
        received = 0
        seen_by_ticks: list[int] = []

        def count(body: bytes) -> None:
            # Slower than the child sends: there is always more to read.
            nonlocal received
            received += 1
            ready_at = time.perf_counter() + 30e-6
            while time.perf_counter() < ready_at:
                pass

        call = asyncio.create_task(pool.call(b"count 30000", on_frame=count))
        while not call.done():
            await asyncio.sleep(0)
            seen_by_ticks.append(received)
        steps = [after - before for before, after in pairwise(seen_by_ticks)]
        assert received == 30000
        assert max(steps) < 2000


async def test_a_slow_reader_holds_the_child_up_instead_of_filling_memory() -> None:
    async with echo_pool() as pool:
        received: list[bytes] = []

        def slow(body: bytes) -> None:
            received.append(body)
            time.sleep(0.001)

        started = time.monotonic()
        await pool.call(b"count 2000", on_frame=slow)
        assert len(received) == 2000
        assert time.monotonic() - started >= 2.0


async def test_50_megabytes_pass_both_ways_while_the_loop_goes_on() -> None:
    async with echo_pool(size=2) as pool:
        events = Events()
        large = b"echo " + bytes(range(256)) * (MEGABYTES_50 // 256)
        there = asyncio.create_task(pool.call(large, on_frame=nothing))
        back = asyncio.create_task(pool.call(b"big %d" % MEGABYTES_50, on_frame=events))
        turns = 0
        while not (there.done() and back.done()):
            await asyncio.sleep(0)
            turns += 1
        assert there.result() == large[5:]
        assert back.result() == b"r" * MEGABYTES_50
        assert events.bodies == [b"e" * MEGABYTES_50]
        assert turns > 100


@pytest.mark.parametrize("size", [8186, 8187, 8188, 8192, 16384, 262144, 262145])
async def test_frames_around_the_buffer_sizes_arrive_whole(size: int) -> None:
    async with echo_pool() as pool:
        events = Events()
        assert await pool.call(b"big %d" % size, on_frame=events) == b"r" * size
        assert events.bodies == [b"e" * size]
        assert await pool.call(b"echo " + b"x" * size, on_frame=nothing) == b"x" * size


async def test_a_frame_above_the_limit_is_refused_before_anything_is_sent() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_FRAME + 1

    async with echo_pool() as pool:
        with pytest.raises(FrameTooLarge, match=r"of 1,073,741,825 bytes cannot pass"):
            await pool.call(Huge(), on_frame=nothing)
        assert await pool.call(b"echo on", on_frame=nothing) == b"on"


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_a_child_that_leaves_hurts_only_its_own_call(code: int) -> None:
    async with echo_pool(size=2) as pool:
        other = asyncio.create_task(pool.call(b"sleep 0.5", on_frame=nothing))
        with pytest.raises(ChildDied, match=f"ended with exit code {code} before") as caught:
            await pool.call(b"leave %d" % code, on_frame=nothing)
        assert (caught.value.exit_code, caught.value.signal) == (code, None)
        assert not is_running(caught.value.pid)
        assert await other == b"slept"
        assert await pool.call(b"echo again", on_frame=nothing) == b"again"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
async def test_a_child_that_is_ended_by_a_signal_names_it(number: signal.Signals) -> None:
    async with echo_pool() as pool:
        with pytest.raises(ChildDied, match=f"was ended by signal {number.name}") as caught:
            await pool.call(b"by_signal %d" % number, on_frame=nothing)
        assert (caught.value.exit_code, caught.value.signal) == (None, number)
        assert ("lack of memory" in str(caught.value)) == (number == signal.SIGKILL)


async def test_a_result_that_was_sent_counts_even_if_the_child_dies_right_after() -> None:
    async with echo_pool() as pool:
        pid = int(await pool.call(b"say_pid", on_frame=nothing))
        frames = (b"leave_after_result x", b"echo next")
        calls = [asyncio.create_task(pool.call(frame, on_frame=nothing)) for frame in frames]
        await asyncio.sleep(0)
        # The loop hears of the exit before it reads the result: it is held up until both are there.
        wait_until(lambda: not is_running(pid) and not child_threads(), LIMIT)
        assert await asyncio.gather(*calls) == [b"x", b"next"]


async def test_a_child_that_dies_idle_is_replaced_at_the_next_call() -> None:
    async with echo_pool() as pool:
        pid = int(await pool.call(b"say_pid", on_frame=nothing))
        await asyncio.to_thread(kill_and_wait, pid)
        await until(lambda: not pool.children)
        assert int(await pool.call(b"say_pid", on_frame=nothing)) != pid


async def test_a_child_that_closes_its_link_is_ended() -> None:
    async with echo_pool() as pool:
        with pytest.raises(ChildDied, match="SIGKILL"):
            await pool.call(b"close_link", on_frame=nothing)


async def test_a_child_that_writes_no_frames_is_ended() -> None:
    async with echo_pool() as pool:
        with pytest.raises(ChildDied, match="SIGKILL"):
            await pool.call(b"babble", on_frame=nothing)


@pytest.mark.parametrize("deed", [b"busy", b"deaf", b"sleep 1000"])
@pytest.mark.parametrize("grace", [0.0, 0.2])
async def test_a_timeout_kills_the_child_even_one_that_ignores_sigterm(
    deed: bytes, grace: float
) -> None:
    async with echo_pool(kill_grace=grace) as pool:
        await pool.call(b"echo warm", on_frame=nothing)
        (pid,) = pool.pids
        started = time.monotonic()
        events = Events()
        with pytest.raises(ChildTimeout, match=rf"timeout of 0.3 s; its child process {pid}"):
            await pool.call(deed, on_frame=events, timeout=0.3)
        took = time.monotonic() - started
        assert not is_running(pid)
        was_deaf = deed == b"deaf" and bool(events.bodies)
        assert took >= (0.3 + grace if was_deaf else 0.3)
        assert await pool.call(b"echo again", on_frame=nothing, timeout=LIMIT) == b"again"


async def test_within_the_grace_a_child_can_clean_up(tmp_path: Path) -> None:
    note = tmp_path / "note"
    events, patience = Events(), 0.2
    async with echo_pool(kill_grace=LIMIT) as pool:
        while not events.bodies:  # it was asked to end before it was ready for that
            with pytest.raises(ChildTimeout):
                await pool.call(b"polite %s" % bytes(note), on_frame=events, timeout=patience)
            patience *= 2
    assert note.read_bytes() == b"cleaned up"


async def test_a_cancelled_call_goes_on_only_when_its_child_is_dead() -> None:
    async with echo_pool() as pool:
        for _ in range(5):
            events = Events()
            call = asyncio.create_task(pool.call(b"busy", on_frame=events))
            pid = int(await events.first())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert not is_running(pid)
            assert pid not in pool.pids


async def test_a_second_cancel_does_not_leave_the_dying_child_behind() -> None:
    async with echo_pool(kill_grace=0.3) as pool:
        events = Events()
        call = asyncio.create_task(pool.call(b"deaf", on_frame=events))
        pid = int(await events.first())
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not is_running(pid)


async def test_a_waiting_call_can_be_cancelled_without_hurting_anyone() -> None:
    async with echo_pool() as pool:
        events = Events()
        running = asyncio.create_task(pool.call(b"busy", on_frame=events))
        pid = int(await events.first())
        waiting = asyncio.create_task(pool.call(b"echo x", on_frame=nothing))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert is_running(pid)
        assert not running.done()


async def test_killing_a_child_kills_what_it_started() -> None:
    async with echo_pool() as pool:
        events = Events()
        call = asyncio.create_task(pool.call(b"grandchild", on_frame=events))
        grandchild = int(await events.first())
        assert is_running(grandchild)
        call.cancel()
        await asyncio.wait([call])
        await until(lambda: not is_running(grandchild))


async def test_a_child_that_dies_takes_along_what_it_started() -> None:
    async with echo_pool() as pool:
        events = Events()
        with pytest.raises(ChildDied, match="exit code 4"):
            await pool.call(b"grandchild 4", on_frame=events)
        grandchild = int(await events.first())
        await until(lambda: not is_running(grandchild))


async def test_an_error_of_on_frame_is_the_error_of_the_call() -> None:
    def broken(body: bytes) -> None:
        raise LookupError("no room for this event")

    async with echo_pool() as pool:
        with pytest.raises(LookupError, match="no room for this event"):
            await pool.call(b"busy", on_frame=broken)
        assert await pool.call(b"echo again", on_frame=nothing) == b"again"


async def test_stop_ends_running_and_waiting_calls() -> None:
    async with echo_pool(size=2) as pool:
        seen = [Events(), Events()]
        calls = [asyncio.create_task(pool.call(b"deaf", on_frame=events)) for events in seen]
        calls.append(asyncio.create_task(pool.call(b"echo x", on_frame=nothing)))
        pids = [int(await events.first()) for events in seen]
        await pool.stop()
        assert not any(map(is_running, pids))
        for call in calls:
            with pytest.raises(ChildPoolStopped, match="does not run: it was stopped"):
                await call
        with pytest.raises(ChildPoolStopped):
            await pool.call(b"echo x", on_frame=nothing)
        await pool.start()
        assert await pool.call(b"echo anew", on_frame=nothing) == b"anew"


async def test_stop_while_children_start() -> None:
    async with echo_pool(size=3) as pool:
        calls = [asyncio.create_task(pool.call(b"echo x", on_frame=nothing)) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.stop()
        assert {type(error) for error in await asyncio.gather(*calls, return_exceptions=True)} == {
            ChildPoolStopped
        }


async def whole_life(pool: ChildPool) -> None:
    """What every kind of loop must manage."""
    large = b"z" * 3_000_000
    assert await pool.call(b"echo " + large, on_frame=nothing) == large
    assert (
        len(await asyncio.gather(*(pool.call(b"say_pid", on_frame=nothing) for _ in "abcd"))) == 4
    )
    events = Events()
    await pool.call(b"count 5000", on_frame=events)
    assert events.bodies == [b"%d" % n for n in range(5000)]
    with pytest.raises(ChildTimeout):
        await pool.call(b"deaf", on_frame=Events(), timeout=0.2)
    with pytest.raises(ChildDied):
        await pool.call(b"leave 7", on_frame=nothing)
    running = Events()
    call = asyncio.create_task(pool.call(b"busy", on_frame=running))
    pid = int(await running.first())
    call.cancel()
    await asyncio.wait([call])
    assert not is_running(pid)


async def life_in_a_pool() -> None:
    async with echo_pool(size=2) as pool:
        await whole_life(pool)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("in_thread", [False, True])
def test_any_loop_in_any_thread(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], in_thread: bool
) -> None:
    def live() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(life_in_a_pool())
        ended.append(True)

    ended: list[bool] = []
    if in_thread:
        thread = Thread(target=live)
        thread.start()
        thread.join(LIMIT * 2)
    else:
        live()
    assert ended == [True]


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid), LIMIT)
