"""`fastapi-jobs worker` where jobs run on Celery: its worker, with the options that fit ours."""

import logging
import os
from collections.abc import Sequence

import typer

from fastapi_jobs.backends.celery_queues import known_queues, queue_name
from fastapi_jobs.cli.starting import refuse
from fastapi_jobs.conf import Settings
from fastapi_jobs.options import DEFAULT_QUEUE


def run_celery(settings: Settings, queues: Sequence[str]) -> None:
    """Run a Celery worker in this process, until a signal ends it.

    Raises:
        NotMigrated, StoreUnavailable: the database cannot be used.
    """
    # Loaded here, so that no other command waits for Celery.
    from fastapi_jobs.celery_worker import check_store, worker_app

    if settings.celery.broker_url is None:
        refuse('celery.broker_url is not set, such as "redis://localhost:6379/0".')
    check_store(settings)
    app = worker_app(settings)
    _refuse_undeclared(settings, queues)
    chosen = sorted(queues or known_queues(settings))
    pool = _pool(settings, chosen) if queues else settings.celery.pool
    if not queues:
        chosen = _served(settings, chosen)
    concurrency = 1 if pool == "solo" else settings.celery.concurrency
    # Celery tells of every message; whoever wants that sets log_lifecycle.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    typer.echo(
        f"worker {os.getpid()} runs celery x {concurrency} ({pool}); {', '.join(chosen)}; "
        f"{settings.celery.broker_url.rpartition('@')[2]}"
    )
    app.worker_main(
        [
            "worker",
            *("--pool", pool, "--concurrency", str(concurrency)),
            *("--queues", ",".join(sorted({queue_name(settings, each) for each in chosen}))),
            *("--loglevel", settings.log_level, "--hostname", f"{os.getpid()}@%h"),
            *("--without-gossip", "--without-mingle"),
        ]
    )


def _refuse_undeclared(settings: Settings, queues: Sequence[str]) -> None:
    for name in queues:
        if name not in known_queues(settings):
            refuse(
                f"--queue {name}: no task goes there and the settings do not name it, so its jobs "
                f"travel with those of queue {DEFAULT_QUEUE!r}. Serve that one, or give it a table "
                f"[queues.{name}] in the settings."
            )


def _pool(settings: Settings, queues: Sequence[str]) -> str:
    pools = {settings.queue(name).pool or settings.celery.pool for name in queues}
    if len(pools) > 1:
        refuse(
            f"these queues want different pools ({', '.join(sorted(pools))}): "
            "start a worker for each."
        )
    return pools.pop()


def _served(settings: Settings, queues: Sequence[str]) -> list[str]:
    """The queues that this pool serves; what it leaves is told."""
    pool = settings.celery.pool
    left = [name for name in queues if (settings.queue(name).pool or pool) != pool]
    for name in left:
        typer.echo(
            f"queue {name} wants the pool {settings.queue(name).pool}: start another worker, "
            f"fastapi-jobs worker --queue {name}",
            err=True,
        )
    return [name for name in queues if name not in left]
