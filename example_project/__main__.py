"""`python -m example_project`: the example app, its first batch of jobs, and where to look."""

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence

import uvicorn
from fastapi import FastAPI
from rich.console import Console
from rich.logging import RichHandler

from fastapi_jobs import FastAPIJobsError, JobStatus

HOST = "127.0.0.1"
SOME_FAILED, CANNOT_START = 1, 2

console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code is 0 unless a job of the batch failed or it could not start."""
    given = _parse(arguments)
    handler = RichHandler(console=console, show_path=False, log_time_format="[%X]")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_keep_our_sentence)
    # A retry is no news here: the table shows it.
    logging.getLogger("fastapi_jobs.dispatcher").setLevel(logging.ERROR)
    listening = _listen(given.port)
    if listening is None:
        console.print(
            f"Port {given.port} of {HOST} is in use or not allowed. "
            f"Choose another one: --port {given.port + 1 if given.port < 65535 else 8001}"
        )
        return CANNOT_START
    with listening:
        try:
            return asyncio.run(_serve(given, listening))
        except FastAPIJobsError as error:
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            return CANNOT_START
        except KeyboardInterrupt:
            return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="example_project", description=__doc__)
    parser.add_argument("--port", type=_port, default=8000, help="0 takes a free one")
    parser.add_argument("--jobs", type=_count, default=12, help="size of the first batch")
    parser.add_argument("--once", action="store_true", help="end when the first batch has ended")
    parser.add_argument("--throwaway", action="store_true", help="the database ends with the demo")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 0 to 65535.")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 0.")
    return int(text)


def _listen(port: int) -> socket.socket | None:
    """A socket on this port. It is taken before anything else starts, so that a taken port is
    found before a job runs."""
    # With its protocol named: only then asyncio sends without waiting for acknowledgements, which
    # take 40 ms where the answer to a request is written in two parts.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError:
        listening.close()
        return None
    return listening


async def _serve(given: argparse.Namespace, listening: socket.socket) -> int:
    # Here, because what is wrong with the settings is found by the import.
    from example_project.main import app

    base = f"http://{HOST}:{listening.getsockname()[1]}"
    server = Server(app, lambda server: _first_batch(server, given, base))
    try:
        await server.serve(sockets=[listening])
    except SystemExit:  # how uvicorn says that the app did not start; it has logged why
        return CANNOT_START
    return server.exit_code


def _keep_our_sentence(record: logging.LogRecord) -> bool:
    """Of a traceback that uvicorn logs as text, keep the error of ours that it ends with."""
    if isinstance(record.msg, str) and record.msg.startswith("Traceback"):
        ours = record.msg.rpartition("\nfastapi_jobs.errors.")[2]
        record.msg = ours.partition(": ")[2].strip()
    return True


class Server(uvicorn.Server):
    """Serves `app`, and has something to do beside it from start to stop."""

    def __init__(self, app: FastAPI, beside: "Callable[[Server], Awaitable[int]]") -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        )
        self.exit_code = 0
        self._beside = beside
        self._running: asyncio.Future[int] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then what is beside it."""
        await super().startup(sockets)
        if self.started:
            self._running = asyncio.ensure_future(self._beside(self))
            self._running.add_done_callback(self._stop_if_broken)

    def _stop_if_broken(self, done: "asyncio.Future[int]") -> None:
        if not done.cancelled() and done.exception() is not None:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for what is beside, for it needs the app."""
        try:
            if self._running is not None:
                self.exit_code = await self._running
        finally:
            await super().shutdown(sockets)


async def _first_batch(server: uvicorn.Server, given: argparse.Namespace, base: str) -> int:
    from example_project.batch import enqueue_batch, left_behind
    from example_project.main import jobs
    from example_project.screen import following, show_where, summary

    batch = await left_behind()
    if batch.jobs:
        console.print(f"{len(batch.jobs)} jobs of an earlier start go on now.")
    await enqueue_batch(batch, given.jobs, f"{base}/receiver")
    newest = max(batch.jobs.values(), key=lambda job: job.id, default=None)
    show_where(console, base, jobs, newest)
    with following(console, batch) as show:
        await batch.follow(show, lambda: not server.should_exit)
    if batch.unfinished:
        left = "were not done" if given.throwaway else "go on at the next start"
        console.print(f"Stopped: {len(batch.unfinished)} jobs {left}.")
        return 0
    console.print(summary(batch))
    if given.once:
        server.should_exit = True
    else:
        kept = "" if given.throwaway else "; the jobs are kept"
        console.print(f"\nServing. End with Ctrl-C{kept}.")
    return SOME_FAILED if batch.count(JobStatus.FAILED) else 0


if __name__ == "__main__":
    sys.exit(main())
