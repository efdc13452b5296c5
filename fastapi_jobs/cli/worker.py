"""`fastapi-jobs worker`."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fastapi_jobs.app import FastAPIJobs
from fastapi_jobs.backends.make import CELERY
from fastapi_jobs.checks import import_tasks, queue_of
from fastapi_jobs.cli.celery import run_celery
from fastapi_jobs.cli.completing import queue_names
from fastapi_jobs.cli.starting import (
    AppDirOption,
    EnvOption,
    SettingsOption,
    load_settings,
    refuse,
    refusing,
)
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.names import check_backend
from fastapi_jobs.conf.rules import RuleBroken
from fastapi_jobs.current import choose
from fastapi_jobs.errors import did_you_mean
from fastapi_jobs.registry import registry
from fastapi_jobs.runtime import Runtime

STOPPING = (signal.SIGTERM, signal.SIGINT)

QueueOption = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        metavar="NAME",
        help="Run only jobs of this queue; may be repeated.",
        autocompletion=queue_names,
    ),
]
BackendOption = Annotated[
    list[str] | None,
    typer.Option("--backend", metavar="NAME", help="Run only on this backend; may be repeated."),
]


def worker(
    queue: QueueOption = None,
    backend: BackendOption = None,
    settings: SettingsOption = None,
    env: EnvOption = None,
    app_dir: AppDirOption = ".",
) -> None:
    """Run jobs in this process, without an API.

    SIGTERM or Ctrl-C lets running jobs end within shutdown_seconds; a second one gives them back.
    """
    queues, backends = queue or [], [_checked(name) for name in backend or []]
    with refusing():
        loaded = load_settings(settings, env, app_dir)
    _log_to_stderr(loaded)
    problems = import_tasks(loaded)
    if problems:
        refuse("\n".join(each.text for each in problems))
    _warn_of_unknown(loaded, queues)
    if CELERY in (backends or [loaded.backend]):
        _refuse_a_mixture(backends)
        with refusing(loaded):
            run_celery(loaded, queues)
        return
    with refusing(loaded):
        runtime = FastAPIJobs(loaded, dispatch=True).runtime
        left = asyncio.run(_run(runtime, queues, backends))
    typer.echo("stopped")
    if left:
        _exit_at_once()


def _refuse_a_mixture(backends: Sequence[str]) -> None:
    others = [name for name in backends if name != CELERY]
    if others:
        names = ", ".join(others)
        refuse(f"celery has processes of its own: start another worker for {names}.")


def _checked(backend: str) -> str:
    try:
        return check_backend(backend)
    except RuleBroken as broken:
        text = f"{backend!r} {broken.rule}{broken.cure}"
        raise typer.BadParameter(text, param_hint="--backend") from None


def _log_to_stderr(settings: Settings) -> None:
    # This process is ours, so its logging is too; a host app sets up its own.
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def _warn_of_unknown(settings: Settings, queues: Sequence[str]) -> None:
    known = {queue_of(settings, each) for each in registry.values()} | set(settings.queues)
    for name in queues:
        if name not in known:
            typer.echo(
                f"--queue {name}: no task goes there and the settings do not name it; only jobs "
                f"enqueued with using(queue={name!r}) will run.{did_you_mean(name, known)}",
                err=True,
            )


async def _run(runtime: Runtime, queues: Sequence[str], backends: Sequence[str]) -> int:
    """Run until a signal comes; returns how many functions cannot be stopped and still run."""
    choose(runtime)
    stop, at_once = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        if stop.is_set():
            at_once.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, heard)
    await runtime.start(only_queues=queues, only_backends=backends)
    typer.echo(_what_runs(runtime, queues))
    await stop.wait()
    running = len(runtime.dispatcher.calls) if runtime.dispatcher is not None else 0
    if running:
        seconds = runtime.settings.shutdown_seconds
        typer.echo(
            f"stopping: {running} running, waiting up to {seconds:g} s; "
            "signal again to give them back at once"
        )
    return await runtime.stop(at_once)


def _what_runs(runtime: Runtime, queues: Sequence[str]) -> str:
    slots = ", ".join(f"{name} x {each.slots}" for name, each in runtime.backends.items())
    tasks = "1 task" if len(registry) == 1 else f"{len(registry)} tasks"
    lanes = ", ".join(queues) or "all queues"
    return f"worker {os.getpid()} runs {slots}; {lanes}; {tasks}; {runtime.store.database.name}"


def _exit_at_once() -> None:
    # Their jobs were given back and may start elsewhere, while a normal exit would wait for the
    # threads in which they still run (law 7).
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
