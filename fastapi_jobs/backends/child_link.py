"""The parent's end of the link to one child: frames over a socket, never blocking the loop."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from fastapi_jobs.channel import FRAME, MAX_FRAME, FrameKind, frame_head, widen

# One turn of the loop reads at most this much of small frames, so that a flood of events
# leaves time for everything else; the child waits when the socket is full.
BLOCK = 8 * 1024
LARGE_READ = 256 * 1024
KINDS = frozenset(FrameKind)


class ChildLink:
    """Frames to and from one child.

    `on_frame(kind, body)` gets each frame in order; `on_end()` is called once when nothing more
    can come: the child closed its end, is gone, or wrote what is no frame.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_frame: Callable[[int, bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        widen(sock)
        self._loop, self._socket = loop, sock
        self._on_frame, self._on_end = on_frame, on_end
        self._block = bytearray(BLOCK)
        self._filled = 0
        self._large: memoryview | None = None
        self._large_kind, self._large_filled = 0, 0
        self._unsent: deque[memoryview] = deque()
        self._reading = True
        loop.add_reader(sock, self._read)

    def send(self, kind: FrameKind, body: bytes) -> None:
        """Send what the socket takes, the rest when it takes more; a dead child is no error."""
        head = frame_head(kind, len(body))
        self._unsent.extend((memoryview(head), memoryview(body)))
        if len(self._unsent) == 2 and not self._send_some():
            self._loop.add_writer(self._socket, self._write)

    def drain(self) -> None:
        """Deliver what a child that is gone has left in the socket."""
        while self._reading and self._receive():
            pass

    def close(self) -> None:
        """Close the link, once or again; an idle child ends."""
        if self._socket.fileno() < 0:
            return
        self._stop_reading()
        self._stop_writing()
        self._socket.close()

    def _write(self) -> None:
        if self._send_some():
            self._stop_writing()

    def _send_some(self) -> bool:
        """Send once; True when nothing is left."""
        try:
            sent = self._socket.sendmsg(self._unsent)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            # The child is going; its exit tells the caller, not this write.
            self._unsent.clear()
            return True
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if self._unsent:
            self._unsent[0] = self._unsent[0][sent:]
        return not self._unsent

    def _stop_writing(self) -> None:
        self._unsent.clear()
        self._loop.remove_writer(self._socket)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def _read(self) -> None:
        self._receive()

    def _receive(self) -> bool:
        """Read once; False when nothing is there now."""
        try:
            if self._large is None:
                count = self._socket.recv_into(memoryview(self._block)[self._filled :])
            else:
                count = self._socket.recv_into(
                    self._large[self._large_filled : self._large_filled + LARGE_READ]
                )
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        if count == 0:
            self._end()
        elif self._large is None:
            self._filled += count
            self._split()
        else:
            self._large_filled += count
            self._finish_large()
        return count > 0

    def _end(self) -> None:
        self._stop_reading()
        self._on_end()

    def _split(self) -> None:
        """Deliver the whole frames of the block; keep the start of the next one."""
        block, filled, at = self._block, self._filled, 0
        while filled - at >= FRAME.size:
            kind, size = FRAME.unpack_from(block, at)
            if kind not in KINDS or size > MAX_FRAME:
                self._end()
                return
            first = at + FRAME.size
            at = first + size
            if at > filled:
                at = first - FRAME.size
                if size + FRAME.size > BLOCK:
                    self._begin_large(kind, size, bytes(block[first:filled]))
                    return
                break
            self._on_frame(kind, bytes(block[first:at]))
            if not self._reading:
                return
        if at:
            block[: filled - at] = block[at:filled]
            self._filled = filled - at

    def _begin_large(self, kind: int, size: int, start: bytes) -> None:
        self._filled = 0
        self._large, self._large_kind = memoryview(bytearray(size)), kind
        self._large[: len(start)] = start
        self._large_filled = len(start)

    def _finish_large(self) -> None:
        large = self._large
        if large is not None and self._large_filled == len(large):
            self._large = None
            self._on_frame(self._large_kind, large.tobytes())
