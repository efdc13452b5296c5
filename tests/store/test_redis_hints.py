"""What goes through Redis from one process to another, and what happens while it is away."""

import logging
import os
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from fastapi_jobs.store import redis_hints
from fastapi_jobs.store.redis_hints import News, RedisHints
from fastapi_jobs.store.transaction import Hints
from tests.redis_server import RedisServer
from tests.servers import wait_until


class Party:
    """A process by its hints: what it hears, and its closing."""

    def __init__(self, url: str, name: str) -> None:
        self.heard: list[News] = []
        self.hints = RedisHints(url, name)
        self._listener = self.hints.listen(self.heard.append)

    def is_ready(self) -> bool:
        """Whether it hears: the first news is to look at everything."""
        return bool(self.heard)

    def close(self) -> None:
        """Hear and tell no more."""
        self._listener.close()
        self.hints.close()


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still is no Redis that says nothing."""
    if request.function is not test_a_redis_that_says_nothing_is_noticed:
        monkeypatch.setattr(redis_hints, "REPLY_SECONDS", 30.0)


@pytest.fixture
def two(own_redis: RedisServer) -> Iterator[tuple[Party, Party]]:
    """Two that hear each other."""
    parties = (Party(own_redis.url(), "shop"), Party(own_redis.url(1), "shop"))
    wait_until(lambda: all(each.is_ready() for each in parties))
    yield parties
    for each in parties:
        each.close()


def news_of(party: Party) -> list[News]:
    """All that it heard of others."""
    return [each for each in party.heard if each.sender]


def test_others_hear_and_oneself_does_not(two: tuple[Party, Party]) -> None:
    one, other = two
    one.hints.relays = True
    one.hints.tell(Hints(finished=[uuid4()]))  # nobody acts on that
    one.hints.tell(Hints(cancels=True))
    wait_until(lambda: bool(news_of(other)))
    assert news_of(other) == [
        News(sender=one.hints.sender, queued=False, cancels=True, relayed=True)
    ]
    other.hints.tell(Hints(queued=True))
    wait_until(lambda: bool(news_of(one)))
    assert [(each.queued, each.cancels, each.relayed) for each in news_of(one)] == [
        (True, False, False)
    ]
    assert len(news_of(other)) == 1


def test_other_names_are_other_channels(own_redis: RedisServer, two: tuple[Party, Party]) -> None:
    stranger = RedisHints(own_redis.url(), "bakery")
    stranger.tell(Hints(queued=True))
    stranger.close()
    two[0].hints.tell(Hints(queued=True))
    wait_until(lambda: bool(news_of(two[1])))
    assert {each.sender for each in news_of(two[1])} == {two[0].hints.sender}


def test_the_last_word_is_told_at_the_close(own_redis: RedisServer) -> None:
    """A command that cancels a job ends right after."""
    listening = Party(own_redis.url(), "shop")
    wait_until(listening.is_ready)
    for _ in range(20):
        last = RedisHints(own_redis.url(), "shop")
        last.tell(Hints(cancels=True))
        last.close()
    wait_until(lambda: len(news_of(listening)) == 20)
    listening.close()


def test_many_commits_are_few_messages(two: tuple[Party, Party]) -> None:
    one, other = two
    for _ in range(10_000):
        one.hints.tell(Hints(queued=True))
    one.hints.tell(Hints(cancels=True))
    wait_until(lambda: any(each.cancels for each in news_of(other)))
    assert len(news_of(other)) < 1000


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\xfe", b"{}", b"[1]", b'{"sender": "x", "queued": "yes"}', b"x" * 1_000_000],
)
def test_garbage_is_told_once_and_dropped(
    two: tuple[Party, Party],
    own_redis: RedisServer,
    garbage: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = two
    one.close()
    with redis.Redis(port=own_redis.port) as client:
        for _ in range(3):
            assert client.publish("shop.hints", garbage) == 1
        told = News(sender="another", queued=True, cancels=False, relayed=False)
        client.publish("shop.hints", told.model_dump_json())
    wait_until(lambda: bool(news_of(other)))
    assert news_of(other) == [told]
    [said] = [each.message for each in caplog.records]
    assert said.startswith("Redis channel 'shop.hints' carries what is not ours (b'")
    assert len(said) < 700


def test_a_redis_that_goes_and_comes_is_told_of_once(
    two: tuple[Party, Party], own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    own_redis.stop()
    wait_until(lambda: one.hints.trouble is not None and other.hints.trouble is not None)
    for _ in range(100):
        one.hints.tell(Hints(queued=True))
    heard = len(other.heard)
    own_redis.start()
    wait_until(lambda: one.hints.trouble is None and other.hints.trouble is None)
    # It looks at everything: what others said meanwhile is lost.
    wait_until(lambda: any(not each.sender for each in other.heard[heard:]))
    other.heard.clear()
    one.hints.tell(Hints(cancels=True))
    wait_until(lambda: any(each.cancels for each in news_of(other)))
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    reached = [each for each in said if each.endswith(" answers again.")]
    lost = [each for each in said if "does not answer: ConnectionError" in each]
    assert (len(lost), len(reached), len(said)) == (2, 2, 4), said  # one each


def test_a_redis_that_says_nothing_is_noticed(
    two: tuple[Party, Party], own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        one.hints.tell(Hints(queued=True))
        wait_until(lambda: "Timeout" in (one.hints.trouble or ""))
        # Its trouble says so only until it has tried again.
        wait_until(lambda: any("silent for" in each.getMessage() for each in caplog.records))
        assert other.hints.trouble is not None
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    wait_until(lambda: one.hints.trouble is None and other.hints.trouble is None)


def test_a_quiet_redis_is_no_trouble(
    two: tuple[Party, Party], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said for long: it is asked, and answers."""
    asked: list[int] = []
    monkeypatch.setattr(redis_hints, "SILENT_SECONDS", 0.1)
    kept = redis.client.PubSub.ping

    def ask(channel: redis.client.PubSub) -> object:
        asked.append(1)
        return kept(channel)

    monkeypatch.setattr(redis.client.PubSub, "ping", ask)
    wait_until(lambda: len(asked) >= 6)
    assert [each.hints.trouble for each in two] == [None, None]
    assert caplog.records == []


def test_a_child_of_a_fork_tells_too(two: tuple[Party, Party]) -> None:
    one, other = two
    one.hints.tell(Hints(queued=True))
    wait_until(lambda: bool(news_of(other)))
    child = os.fork()
    if child == 0:
        one.hints.forget_threads()
        one.hints.tell(Hints(cancels=True))
        one.hints.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    wait_until(lambda: any(each.cancels for each in news_of(other)))
    assert len({each.sender for each in news_of(other)}) == 2
