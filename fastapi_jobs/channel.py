"""Frames between a parent and its child process, and the child's blocking end of the link.

A frame is one byte of kind, four bytes of length (big endian) and the body. In order:
parent HELLO → child READY → (parent CALL → child EVENT … → child RESULT) again and again.
"""

import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import time
from enum import IntEnum

from fastapi_jobs.errors import FastAPIJobsError

FRAME = struct.Struct(">BI")
MAX_FRAME = 2**30
STDERR = struct.Struct(">i")
SOCKET_BUFFER = 256 * 1024


class FrameKind(IntEnum):
    """What a frame is for."""

    HELLO = 1
    READY = 2
    CALL = 3
    EVENT = 4
    RESULT = 5


class FrameTooLarge(FastAPIJobsError):
    """A frame of more bytes than parent and child exchange; nothing of it was sent."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(
            f"A frame of {size:,} bytes cannot pass between parent and child process; "
            f"the largest has {MAX_FRAME:,}. Store the data elsewhere and pass its key."
        )


def frame_head(kind: FrameKind, size: int) -> bytes:
    """The five bytes before a body of `size` bytes; raises `FrameTooLarge`."""
    if size > MAX_FRAME:
        raise FrameTooLarge(size)
    return FRAME.pack(kind, size)


def widen(sock: socket.socket) -> None:
    """Ask for roomy socket buffers: macOS gives 8 KiB unless asked, a wake-up for each."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)


class Channel:
    """The child's end: blocking, for one reader and any number of sending threads.

    Create it before any slow import: from then on the child dies with its parent. The first
    `receive` returns the hello; answer `send_ready`, then each `receive` is a call.
    """

    def __init__(self, fd: int, *, kernel_watch: bool = True) -> None:
        """Take over `fd`; `kernel_watch=False` watches the parent from a thread on Linux too."""
        if not (kernel_watch and _die_by_kernel()):
            watch = threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True)
            watch.start()
        self._socket = socket.socket(fileno=fd)
        # What the child starts must not hold the link open after the child is gone.
        self._socket.set_inheritable(False)
        widen(self._socket)
        self._reader = self._socket.makefile("rb")
        self._sending = threading.Lock()
        self._stderr: int | None = None

    def receive(self) -> bytes | None:
        """The next frame's body, or None when the parent closed the link or is gone."""
        try:
            head = self._reader.read(FRAME.size)
            if len(head) < FRAME.size:
                return None
            kind, size = FRAME.unpack(head)
            body = self._reader.read(size)
        except ConnectionError:
            return None
        if len(body) < size:
            return None
        if kind == FrameKind.HELLO:
            (self._stderr,) = STDERR.unpack_from(body)
            os.set_inheritable(self._stderr, False)
            return body[STDERR.size :]
        return body

    def send_ready(self) -> None:
        """Tell the parent that calls may come; from here on stderr is the parent's own."""
        if self._stderr is not None:
            _restore_stderr(self._stderr)
            self._stderr = None
        self._send(FrameKind.READY, b"")

    def send_event(self, body: bytes) -> None:
        """Send something on the way (progress, a log line); waits while the parent is busy."""
        self._send(FrameKind.EVENT, body)

    def send_result(self, body: bytes) -> None:
        """End the call; the parent may send the next one at once."""
        self._send(FrameKind.RESULT, body)

    def _send(self, kind: FrameKind, body: bytes) -> None:
        head = frame_head(kind, len(body))
        with self._sending:
            if len(body) <= SOCKET_BUFFER:
                self._socket.sendall(head + body)
            else:
                self._socket.sendall(head)
                self._socket.sendall(body)


def _restore_stderr(real: int) -> None:
    """Until now stderr was a file that the parent quotes if the start fails; pass it on."""
    sys.stderr.flush()
    said = os.pread(2, os.fstat(2).st_size, 0)
    os.dup2(real, 2)
    os.close(real)
    while said:
        said = said[os.write(2, said) :]


def _die_by_kernel() -> bool:
    """Have Linux kill this process with its parent; False where that cannot be asked for.

    A parent that died before this is noticed all the same: the link then ends at the hello.
    """
    if sys.platform != "linux":
        return False
    set_parent_death_signal = 1
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    return bool(prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0) == 0)


def _die_with(parent: int) -> None:
    """Elsewhere: an orphan gets another parent; then end this process and what it started."""
    while os.getppid() == parent:
        time.sleep(0.25)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
