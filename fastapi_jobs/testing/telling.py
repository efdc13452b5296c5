"""The messages of `assert_enqueued` and `assert_not_enqueued`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastapi_jobs.testing.matching import Difference, Wanted
from fastapi_jobs.testing.values import EnqueuedJob, call_text

MOST_SHOWN = 5


def not_found(
    wanted: Wanted, jobs: Sequence[EnqueuedJob[Any]], others: Sequence[EnqueuedJob[Any]]
) -> str:
    """Why no job is the wanted one: those of its task, the nearest first, or of other tasks."""
    name = wanted.definition.name
    if not jobs:
        head = f"No job of {name} was enqueued."
        return "\n".join([head, *_wanted(wanted), _of_others(others)])
    judged = [(wanted.differences(job), job) for job in reversed(jobs)]
    judged.sort(key=lambda pair: len(pair[0]))
    lines = [f"No job of {name} was enqueued like this:", f"    {wanted}"]
    lines.append("But these were, the nearest first:" if len(jobs) > 1 else "But this one was:")
    for number, (differences, job) in enumerate(judged[:MOST_SHOWN], start=1):
        lines += _shown(number, job, differences)
    return "\n".join([*lines, *_rest(len(judged))])


def found(wanted: Wanted, jobs: Sequence[EnqueuedJob[Any]]) -> str:
    """Which jobs there are although none should be."""
    name = wanted.definition.name
    count = f"A job of {name} was" if len(jobs) == 1 else f"{len(jobs)} jobs of {name} were"
    if wanted.is_any:
        lines = [f"{count} enqueued, and none should be:"]
    else:
        lines = [f"{count} enqueued like this, and none should be:", f"    {wanted}"]
        lines.append("Namely:")
    for number, job in enumerate(jobs[:MOST_SHOWN], start=1):
        lines += _shown(number, job, [])
    return "\n".join([*lines, *_rest(len(jobs))])


def _wanted(wanted: Wanted) -> list[str]:
    return [] if wanted.is_any else ["Wanted:", f"    {wanted}"]


def _shown(number: int, job: EnqueuedJob[Any], differences: Sequence[Difference]) -> list[str]:
    call = call_text(job.job.task, job.arguments)
    return [f"  {number}. {call}", *(f"       {each}" for each in differences)]


def _rest(count: int) -> list[str]:
    return [f"  … and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else []


def _of_others(others: Sequence[EnqueuedJob[Any]]) -> str:
    if not others:
        return "Nothing was enqueued at all."
    counts = Counter(job.job.task for job in others)
    names = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    return f"Enqueued were jobs of other tasks: {names}."
