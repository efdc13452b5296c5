"""Tasks that end in every way but well."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from fastapi import Depends

from fastapi_jobs import CancelJob, GiveUp, JobContext, Retry, RetryLater, Snooze, task
from fastapi_jobs.testing.conformance.both import both

QUICK = Retry(max=2, delay=0.01, factor=1, jitter=False)


class Custom(Exception):
    pass


class OwnBase(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class MuteToo(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even this")

    __repr__ = __str__


class Unpicklable(Exception):
    def __init__(self, one: int, *, two: int) -> None:
        super().__init__("cannot be pickled")
        self.lock = lambda: (one, two)


class WrongText(Exception):
    def __str__(self) -> str:
        nonsense: Any = 7
        return nonsense  # type: ignore[no-any-return]


ERRORS: dict[str, Callable[[], BaseException]] = {
    "value": lambda: ValueError("a wrong value"),
    "empty": lambda: ValueError(),
    "custom": lambda: Custom("of our own", 2),
    "mute": lambda: Mute(),
    "mute too": lambda: MuteToo(),
    "wrong text": lambda: WrongText(),
    "unpicklable": lambda: Unpicklable(1, two=2),
    "base": lambda: OwnBase("below Exception"),
    "exit": lambda: SystemExit(3),
    "interrupt": lambda: KeyboardInterrupt(),
    "generator exit": lambda: GeneratorExit(),
    "cancelled": lambda: asyncio.CancelledError("by itself"),
    "stop iteration": lambda: StopIteration("over"),
    "stop async iteration": lambda: StopAsyncIteration(),
    "timeout": lambda: TimeoutError("its own"),
    "group": lambda: ExceptionGroup("several", [ValueError("one"), Custom("two")]),
    "memory": lambda: MemoryError(),
    "nul": lambda: ValueError("a\x00b"),
    "surrogate": lambda: ValueError("a\udc80b"),
    "bytes": lambda: ValueError(b"\xff"),
    "unicode": lambda: ValueError("żółw 🐢"),
}


@both()
def fails(name: str) -> None:
    raise ERRORS[name]()


@both()
def fails_loudly(size: int) -> None:
    raise ValueError("begin" + "x" * size + "end")


@both()
def fails_deeply() -> None:
    def deeper() -> None:
        deeper()

    deeper()


@both()
def fails_for_a_cause() -> None:
    try:
        _ = {"there": 1}["missing"]
    except KeyError as error:
        raise Custom("because of it") from error


@both()
def exits() -> None:
    sys.exit("leaving")


@both(retry=QUICK)
def fails_always() -> None:
    raise ValueError("again")


@both(retry=QUICK)
def fails_until(attempt: int, ctx: JobContext = Depends()) -> int:
    if ctx.attempt < attempt:
        raise ValueError(f"attempt {ctx.attempt}")
    return ctx.attempt


@both(retry=Retry(max=3, on=(OSError,), unless=(FileNotFoundError,), delay=0.01))
def fails_by_choice(kind: str) -> None:
    chosen = {"os": OSError, "file": FileNotFoundError, "value": ValueError}
    raise chosen[kind]("chosen")


def _says_again(error: BaseException) -> bool:
    return "again" in str(error)


@both(retry=Retry(max=1, when=_says_again, delay=0.01))
def fails_when(text: str) -> None:
    raise ValueError(text)


def _breaks(error: BaseException) -> bool:
    sys.exit("a broken rule")


@both(retry=Retry(max=1, when=_breaks, delay=0.01))
def fails_with_broken_rule() -> None:
    raise ValueError("the real reason")


@both(retry=Retry(max=1, on=(BaseException,), delay=0.01))
def exits_with_retry() -> None:
    raise SystemExit(1)


@both(retry=Retry(max=1, delay=0.2, jitter=False))
def fails_with_delay() -> None:
    raise ValueError("later")


@both(retry=Retry(max=1, delay=60, jitter=False))
def fails_with_long_delay() -> None:
    raise ValueError("later")


@both()
def fails_by_settings() -> None:
    raise ValueError("once")


@both(retries=5)
def gives_up() -> None:
    raise GiveUp("no use")


@both(retries=1)
def retries_later(after: float) -> None:
    raise RetryLater(after, "not ready")


@both()
def retries_later_without_retries() -> None:
    raise RetryLater(0.01)


@both()
def cancels_itself(reason: str) -> None:
    raise CancelJob(reason)


@both()
def cancels_itself_oddly() -> None:
    raise CancelJob("a\udc80b\x00c")


@both(retries=5)
def gives_up_oddly() -> None:
    reason: Any = ValueError("no text")
    raise GiveUp(reason)


@both(retries=1)
def waits_for_ever(how: str) -> None:
    if how == "snooze":
        raise Snooze(1e15)
    raise RetryLater(float(how))


def _says_why(error: BaseException) -> bool:
    why: Any = str(error)
    return why  # type: ignore[no-any-return]


@both(retry=Retry(max=1, when=_says_why, delay=0.01))
def fails_when_it_says_why(text: str) -> None:
    raise ValueError(text)


@both()
def snoozes(times: int, ctx: JobContext = Depends()) -> int:
    if ctx.attempt <= times:
        raise Snooze(0.01)
    return ctx.attempt


@both(retries=1)
def outcome_through_except(kind: str) -> str:
    try:
        if kind == "cancel":
            raise CancelJob("through")
        raise GiveUp("through")
    except Exception:
        return "swallowed"


@task
async def dies_async(how: str, spared: int, ctx: JobContext = Depends()) -> str:
    """Kills its process, unless that is the one it must spare."""
    return _die(how, spared, ctx.attempt)


@task(on_crash="fail")
def dies_for_good_once(spared: int, ctx: JobContext = Depends()) -> str:
    return _die("kill", spared, ctx.attempt) if ctx.attempt == 1 else f"attempt {ctx.attempt}"


@task
def dies_once(spared: int, ctx: JobContext = Depends()) -> str:
    return _die("exit", spared, ctx.attempt) if ctx.attempt == 1 else f"attempt {ctx.attempt}"


@task
def dies_at_gate(gate: str, spared: int, ctx: JobContext = Depends()) -> str:
    """Dies once another job has come to the gate."""
    while os.getpid() != spared and not os.path.exists(f"{gate}.began"):
        time.sleep(0.005)
    return _die("exit", spared, ctx.attempt)


def _die(how: str, spared: int, attempt: int) -> str:
    if os.getpid() == spared:
        return f"spared at attempt {attempt}"
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(7)
