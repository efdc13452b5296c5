"""Hearing of other processes' commits by Redis: a hint, never the truth (law 11).

Redis carries a few bytes for each commit that others may want to act on; it keeps nothing. What it
loses, or cannot carry while it is away, a poll finds.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from fastapi_jobs.conf.urls import hide_password
from fastapi_jobs.store.transaction import Hints

logger = logging.getLogger("fastapi_jobs.store")

REPLY_SECONDS = 1.0
"""How long Redis may take to connect or to answer."""

MERGE_SECONDS = 0.01
"""Commits within this time are told of in one message."""

SILENT_SECONDS = 4.0
"""After this long without a word from Redis it is asked whether it is still there."""

LARGEST = 500
"""Bytes; a message of ours is far smaller."""

_BACKOFF = (0.2, 0.5, 1.0, 2.0)
"""Seconds between two tries while Redis is away."""


class News(BaseModel):
    """What another process committed; in Redis it is JSON."""

    model_config = ConfigDict(frozen=True, strict=True)

    sender: str
    queued: bool
    cancels: bool
    relayed: bool
    """Who committed it tells the broker of due jobs, too."""


class RedisHints:
    """Tells other processes of this one's commits, and hears of theirs."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = hide_password(url)
        self.channel = f"{name}.hints"
        self.relays = False
        """Whether this process tells the broker of due jobs."""
        self._forget()

    def _forget(self) -> None:
        self.sender = uuid4().hex
        self._lock = threading.Lock()
        self._missing: dict[object, str] = {}
        self._teller: Teller | None = None

    def forget_threads(self) -> None:
        """After a fork: the child has none of the parent's threads."""
        self._forget()

    @property
    def trouble(self) -> str | None:
        """Why others cannot be told or heard now, or None."""
        return next(iter(self._missing.values()), None)

    def tell(self, hints: Hints) -> None:
        """A commit of this process; returns at once, and never fails."""
        if not (hints.queued or hints.cancels):
            return
        with self._lock:
            if self._teller is None:
                self._teller = Teller(self)
        self._teller.tell(hints)

    def listen(self, on_news: Callable[[News], None]) -> "Listener":
        """Call `on_news`, from a thread, for what other processes commit, until it is closed."""
        return Listener(self, on_news)

    def close(self) -> None:
        """Tell what is not told yet, if Redis takes it now."""
        with self._lock:
            teller, self._teller = self._teller, None
        self.relays = False
        if teller is not None:
            teller.close()

    def connect(self) -> Any:
        """A client whose every wait is bounded, not connected yet."""
        # It costs every start of a process time: loaded by those who have a Redis.
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return Redis.from_url(
            self.url,
            socket_timeout=REPLY_SECONDS,
            socket_connect_timeout=REPLY_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self) -> str | None:
        """Why Redis does not answer, or None when it does; waits for it."""
        try:
            with self.connect() as client:
                client.ping()
        except Exception as error:  # of redis, of the system, of the URL
            return _words(error)
        return None

    def lost(self, who: object, error: Exception) -> None:
        """Note that the teller or a listener cannot reach Redis."""
        reason = _words(error)
        with self._lock:
            is_new, self._missing[who] = not self._missing, reason
        if is_new:
            logger.warning(
                "The Redis %s does not answer: %s. Other processes hear of jobs by polling.",
                *(self.name, reason),
            )

    def found(self, who: object) -> None:
        """Note that it can."""
        with self._lock:
            was_missing = self._missing.pop(who, None) is not None
        if was_missing and not self._missing:
            logger.warning("The Redis %s answers again.", self.name)

    def gone(self, who: object) -> None:
        """Note that it is closed: its trouble is nobody's any more."""
        with self._lock:
            self._missing.pop(who, None)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class Teller:
    """A thread that publishes; while Redis is away, what it should tell is dropped."""

    def __init__(self, redis: RedisHints) -> None:
        self._redis = redis
        self._changed = threading.Condition()
        self._untold = Hints()
        self._is_closing = False
        self._failures = 0
        self._client: Any = None
        self._thread = threading.Thread(
            target=self._work, name="fastapi-jobs-redis-teller", daemon=True
        )
        self._thread.start()

    def tell(self, hints: Hints) -> None:
        """Take it on."""
        with self._changed:
            self._untold.queued = self._untold.queued or hints.queued
            self._untold.cancels = self._untold.cancels or hints.cancels
            self._changed.notify()

    def close(self) -> None:
        """Tell what waits, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(3 * REPLY_SECONDS)
        self._redis.gone(self)

    def _work(self) -> None:
        while hints := self._next():
            try:
                self._publish(hints)
            except Exception as error:  # of redis, of the system, of the URL
                self._failures += 1
                self._disconnect()
                self._redis.lost(self, error)
            else:
                self._failures = 0
                self._redis.found(self)
                self._gather()
        self._disconnect()

    def _next(self) -> Hints | None:
        """What to tell; after a pause anything, while Redis is away; None at the end."""
        with self._changed:
            if self._failures:
                pause = _BACKOFF[min(self._failures, len(_BACKOFF)) - 1]
                if self._changed.wait_for(lambda: self._is_closing, pause):
                    return None
                # Whoever finds Redis back looks at everything.
                hints, self._untold = Hints(queued=True, cancels=True), Hints()
                return hints
            self._changed.wait_for(lambda: self._untold or self._is_closing)
            hints, self._untold = self._untold, Hints()
            return hints or None

    def _gather(self) -> None:
        """Let more come, unless this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, MERGE_SECONDS)

    def _publish(self, hints: Hints) -> None:
        if self._client is None:
            self._client = self._redis.connect()
        news = News(
            sender=self._redis.sender,
            queued=hints.queued,
            cancels=hints.cancels,
            relayed=self._redis.relays,
        )
        self._client.publish(self._redis.channel, news.model_dump_json())

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class Listener:
    """A thread that hears what others publish. Made, and closed, by one FastAPIJobs."""

    def __init__(self, redis: RedisHints, on_news: Callable[[News], None]) -> None:
        self._redis, self._on_news = redis, on_news
        self._stop = threading.Event()
        self._complained = False
        self._failures = 0
        self._thread = threading.Thread(
            target=self._keep, name="fastapi-jobs-redis-listener", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)
        self._redis.gone(self)

    def _keep(self) -> None:
        while not self._stop.is_set():
            try:
                with self._redis.connect() as client, client.pubsub() as channel:
                    self._hear(channel)
            except Exception as error:  # of redis, of the system, of the URL
                self._failures += 1
                self._redis.lost(self, error)
                self._stop.wait(_BACKOFF[min(self._failures, len(_BACKOFF)) - 1])

    def _hear(self, channel: Any) -> None:
        channel.subscribe(self._redis.channel)
        heard_at, asked_at = time.monotonic(), None
        while not self._stop.is_set():
            message = channel.get_message(timeout=0.5)
            now = time.monotonic()
            if message is not None:
                heard_at, asked_at = now, None
                self._take(message)
            elif asked_at is None:
                if now - heard_at > SILENT_SECONDS:
                    channel.ping()
                    asked_at = now
            elif now - asked_at > REPLY_SECONDS:
                raise TimeoutError(f"silent for {now - heard_at:.1f} s")

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._failures = 0
            self._redis.found(self)
            # It missed what others said meanwhile.
            self._on_news(News(sender="", queued=True, cancels=True, relayed=False))
        elif message["type"] == "message":
            news = self._read(message["data"])
            if news is not None and news.sender != self._redis.sender:
                self._on_news(news)

    def _read(self, data: bytes) -> News | None:
        try:
            if len(data) > LARGEST:
                raise ValueError(f"{len(data):,} bytes")
            return News.model_validate_json(data)
        except (ValidationError, ValueError):
            if not self._complained:
                self._complained = True
                logger.warning(
                    "Redis channel %r carries what is not ours (%r); it is dropped. Does something "
                    "else use this channel? The setting name is its beginning.",
                    *(self._redis.channel, data[:100]),
                )
            return None
