"""The wrapped handlers of SIGTERM and SIGINT."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastapi_jobs.stop_signals import STOPPING, StopSignals


@pytest.fixture(autouse=True)
def kept_handlers() -> Iterator[None]:
    """The handlers as they were, whatever a test does."""
    kept = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def heard_by(heard: list[str], name: str) -> Callable[[], None]:
    """Notes that it was called."""
    return lambda: heard.append(name)


def test_it_hears_first_and_the_server_next() -> None:
    heard: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("server"))
    one = StopSignals(heard_by(heard, "one"))
    two = StopSignals(heard_by(heard, "two"))
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["two", "one", "server"]
    heard.clear()
    one.close()
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["two", "server"]
    two.close()


def test_it_leaves_the_handler_as_it_was() -> None:
    def server(*_: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGTERM, server)
    StopSignals(lambda: None).close()
    assert signal.getsignal(signal.SIGTERM) is server


@pytest.mark.parametrize("nobodys", [signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler])
def test_where_nobody_stops_gently_it_changes_nothing(nobodys: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, nobodys)
    hears = StopSignals(lambda: None)
    assert signal.getsignal(signal.SIGINT) is nobodys
    hears.close()


def test_another_thread_changes_nothing() -> None:
    """Only the main thread may."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    theirs = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(StopSignals, lambda: None).result().close()
    assert signal.getsignal(signal.SIGTERM) is theirs
    assert threading.current_thread() is threading.main_thread()
