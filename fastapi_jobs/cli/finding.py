"""Jobs, tasks and queues by the words that a person types; a sentence where there is none."""

import re
from collections.abc import Iterable
from uuid import UUID

import typer

from fastapi_jobs.checks import queue_of
from fastapi_jobs.cli.starting import refuse
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import JobNotFound, did_you_mean
from fastapi_jobs.models import JobRecord
from fastapi_jobs.registry import registry
from fastapi_jobs.store import Store, queries
from fastapi_jobs.store.ids import DIGITS, ids_that_begin
from fastapi_jobs.store.probe import waiting_queues

LEAST_DIGITS = 6
SHOWN = 5
NEAR_DIGITS = 8
"""Ids that share so many digits were made within about a minute: a slip is looked for there."""

NEAR_LIMIT = 200


def find_ids(store: Store, words: Iterable[str]) -> list[UUID]:
    """The ids that `words` mean, each once; all are looked up before anything is done."""
    return list(dict.fromkeys(find_id(store, each) for each in words))


def find_id(store: Store, word: str) -> UUID:
    """The id that `word` is, or the only one that begins with it."""
    digits = word.strip().lower().replace("-", "")
    if not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},{DIGITS}}}", digits):
        refuse(
            f"{word!r} is no job id: give its {DIGITS} hexadecimal digits, or at least the first "
            f"{LEAST_DIGITS}. See: fastapi-jobs list"
        )
    found = store.read_sync(ids_that_begin, digits, SHOWN + 1)
    if not found:
        near = store.read_sync(ids_that_begin, digits[:NEAR_DIGITS], NEAR_LIMIT)
        hint = did_you_mean(_hyphenated(digits), map(str, near))
        refuse(f"{JobNotFound(word)}{hint} See: fastapi-jobs list")
    if len(found) > 1:
        names = ", ".join(map(str, found[:SHOWN])) + (", …" if len(found) > SHOWN else "")
        refuse(f"{word!r} begins several ids: {names}. Give more of it.")
    return found[0]


def _hyphenated(digits: str) -> str:
    return str(UUID(digits)) if len(digits) == DIGITS else digits


def find_job(store: Store, word: str) -> JobRecord:
    """The job whose id `word` is, or begins."""
    job_id = find_id(store, word)
    record = store.read_sync(queries.get_job, job_id)
    if record is None:
        refuse(str(JobNotFound(job_id)))
    return record


def known_queues(settings: Settings, store: Store | None = None) -> set[str]:
    """The queues of settings and tasks, and with `store` those that have a row or waiting jobs."""
    known = {queue_of(settings, each) for each in registry.values()} | set(settings.queues)
    known |= set(settings.routes.values())
    if store is not None:
        known |= {row.name for row in store.read_sync(queries.get_queues)}
        known |= set(store.read_sync(waiting_queues))
    return known


def find_queue(settings: Settings, store: Store, name: str) -> str:
    """A queue that exists."""
    known = known_queues(settings, store)
    if name not in known:
        shown = ", ".join(sorted(known)[:20])
        hint = did_you_mean(name, known)
        refuse(
            f"There is no queue {name!r}: no task goes there, the settings do not name it, and no "
            f"job waits in it. Known: {shown}.{hint}"
        )
    return name


def say(text: str) -> None:
    """A remark beside the answer, on stderr."""
    typer.echo(text, err=True)
