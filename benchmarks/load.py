"""A load generator that costs little: raw requests over kept connections, closed loop."""

import asyncio
import http.client
import json
import time
from typing import Any

from benchmarks.harness import Raw, percentile


class Client(asyncio.Protocol):
    """One connection; sends the next request as soon as the answer to the last is whole."""

    def __init__(self, request: bytes, source: "Source") -> None:
        self._request = request
        self._source = source
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._source.take():
            self._sent_at = time.perf_counter()
            self._transport.write(self._request)
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Find the end of the answer by its content-length."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        good = head.startswith((b"HTTP/1.1 20",))
        self._source.answered(time.perf_counter() - self._sent_at, good)
        pause = self._source.pause
        if pause:
            asyncio.get_running_loop().call_later(pause, self._next)
        else:
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        """The end; a broken connection fails the run."""
        self._source.left(error)


class Source:
    """How many requests are still to be sent, and what came of them."""

    def __init__(self, count: int, connections: int, pause: float = 0.0) -> None:
        self._left = count
        self._open = connections
        self.pause = pause
        self.seconds: list[float] = []
        self.refused = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        """Whether one more request may be sent."""
        self._left -= 1
        return self._left >= 0

    def answered(self, seconds: float, good: bool) -> None:
        """An answer came."""
        self.seconds.append(seconds)
        self.refused += not good

    def left(self, error: Exception | None) -> None:
        """A connection is over."""
        self._open -= 1
        if error is not None and not self.done.done():
            self.done.set_exception(error)
        elif self._open == 0 and not self.done.done():
            self.done.set_result(None)

    def stop(self) -> None:
        """Send no more."""
        self._left = 0


async def start(port: int, line: str, source: Source, connections: int) -> None:
    """Open the connections."""
    request = f"{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(request, source), "127.0.0.1", port)


def ask(port: int, path: str) -> Any:
    """One GET, blocking."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"GET {path} answered {answer.status}")
        return json.loads(text)
    finally:
        connection.close()


async def drive(port: int, path: str, counter: str, requests: int, connections: int) -> Raw:
    """POST `requests` times; until the last job is finished. Meanwhile one connection GETs /ping.

    With `connections` of 0 for the burst nothing is sent.
    """
    await _post(port, path, min(requests, 500), connections)
    await _reach(port, counter, min(requests, 500))
    before = ask(port, "/counts")[counter]
    pings = Source(10**9, 1, pause=0.005)
    await start(port, "GET /ping", pings, 1)
    began = time.perf_counter()
    source = await _post(port, path, requests, connections)
    answered = time.perf_counter() - began
    pings.stop()
    last = await _reach(port, counter, before + requests)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "rate": requests / seconds,
        "answered_rate": requests / answered,
        "refused": source.refused,
        "p50_ms": percentile(source.seconds, 50) * 1e3,
        "p99_ms": percentile(source.seconds, 99) * 1e3,
        "ping_p50_ms": percentile(pings.seconds, 50) * 1e3,
        "ping_p99_ms": percentile(pings.seconds, 99) * 1e3,
        "pings": len(pings.seconds),
        "stall_ms": last["stall"] * 1e3,
    }


async def _post(port: int, path: str, requests: int, connections: int) -> Source:
    source = Source(requests, connections)
    await start(port, f"POST {path}", source, connections)
    await source.done
    if source.refused:
        raise RuntimeError(f"{source.refused} of {requests} requests were refused")
    return source


async def post(port: int, path: str, requests: int, connections: int) -> Raw:
    """POST `requests` times, whatever becomes of the jobs."""
    await _post(port, path, min(requests, 500), connections)
    began = time.perf_counter()
    source = await _post(port, path, requests, connections)
    return {
        "rate": requests / (time.perf_counter() - began),
        "p50_ms": percentile(source.seconds, 50) * 1e3,
        "p99_ms": percentile(source.seconds, 99) * 1e3,
    }


async def _reach(port: int, counter: str, count: int) -> Any:
    stall = 0.0
    while True:
        found = ask(port, "/counts")
        stall = max(stall, found["stall"])
        if found[counter] >= count:
            return found | {"stall": stall}
        await asyncio.sleep(0.005)
