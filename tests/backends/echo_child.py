"""A child program for the tests of the pool: the first word of a call says what to do.

Usage: echo_child.py [--start=WORD] [--stay] [--watch-by-thread] FD. Imports nothing slow.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from fastapi_jobs.channel import Channel


def say_pid(channel: Channel, text: bytes) -> bytes:
    return str(os.getpid()).encode()


def echo(channel: Channel, text: bytes) -> bytes:
    return text


def count(channel: Channel, text: bytes) -> bytes:
    for number in range(int(text)):
        channel.send_event(str(number).encode())
    return b"counted"


def send_in_threads(channel: Channel, text: bytes) -> bytes:
    """Four threads send events too large for the socket to take in one piece."""

    def send(letter: bytes) -> None:
        for _ in range(5):
            channel.send_event(letter * int(text))

    threads = [threading.Thread(target=send, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return b"sent"


def big(channel: Channel, text: bytes) -> bytes:
    channel.send_event(b"e" * int(text))
    return b"r" * int(text)


def leave(channel: Channel, text: bytes) -> bytes:
    os._exit(int(text))


def leave_after_result(channel: Channel, text: bytes) -> bytes:
    channel.send_result(text)
    os._exit(9)


def by_signal(channel: Channel, text: bytes) -> bytes:
    os.kill(os.getpid(), int(text))
    return b"survived"


def busy(channel: Channel, text: bytes) -> bytes:
    """Never ends; the event tells who runs."""
    channel.send_event(str(os.getpid()).encode())
    while True:
        pass


def deaf(channel: Channel, text: bytes) -> bytes:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return busy(channel, text)


def polite(channel: Channel, text: bytes) -> bytes:
    """On SIGTERM write to the file, then leave."""

    def clean_up(number: int, frame: object) -> None:
        with open(text, "wb") as file:
            file.write(b"cleaned up")
        os._exit(0)

    signal.signal(signal.SIGTERM, clean_up)
    return busy(channel, text)


def grandchild(channel: Channel, text: bytes) -> bytes:
    """Start a process that would outlive us, then leave or never end."""
    script = "import time; time.sleep(1000)"
    sleeper = subprocess.Popen([sys.executable, "-c", script], close_fds=False)
    channel.send_event(str(sleeper.pid).encode())
    return leave(channel, text) if text else busy(channel, text)


def sleep(channel: Channel, text: bytes) -> bytes:
    time.sleep(float(text))
    return b"slept"


def eat(channel: Channel, text: bytes) -> bytes:
    kept.append(b"x" * int(text))
    return say_pid(channel, text)


def complain(channel: Channel, text: bytes) -> bytes:
    os.write(2, text + b"\n")
    return b"complained"


def close_link(channel: Channel, text: bytes) -> bytes:
    os.closerange(3, 64)
    time.sleep(1000)
    return b""


def babble(channel: Channel, text: bytes) -> bytes:
    """Write into the link what is no frame, as a stray write to a wrong descriptor would."""
    channel._socket.sendall(b"\xff" * 100)
    time.sleep(1000)
    return b""


kept: list[bytes] = []
DEEDS = {
    deed.__name__.encode(): deed
    for deed in (
        *(say_pid, echo, count, send_in_threads, big, leave, leave_after_result, by_signal, busy),
        *(deaf, polite, grandchild, sleep, eat, complain, close_link, babble),
    )
}


def main(options: list[str]) -> None:
    channel = Channel(int(options[-1]), kernel_watch="--watch-by-thread" not in options)
    hello = channel.receive()
    if hello is None:
        return
    if "--start=fail" in options:
        raise RuntimeError("the tasks of this child cannot be imported")
    if "--start=hang" in options:
        time.sleep(1000)
    if "--start=warn" in options:
        os.write(2, b"a warning while starting\n")
    channel.send_ready()
    while (frame := channel.receive()) is not None:
        name, _, text = frame.partition(b" ")
        channel.send_result(hello if name == b"hello" else DEEDS[name](channel, text))
    if "--stay" in options:
        time.sleep(1000)


if __name__ == "__main__":
    main(sys.argv[1:])
