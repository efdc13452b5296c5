"""Another host: `python -m tests.conformance.host SETTINGS LANE [TASK ARGS]...` until it dies."""

import asyncio
import json
import sys
from importlib import import_module

from fastapi_jobs import FastAPIJobs, Task
from fastapi_jobs.testing.conformance.gate import LIMIT
from tests.conformance.tasks import ends, flow

SERVED = (ends, flow)
"""The modules whose tasks this host knows."""


def find(name: str) -> Task[..., object, object]:
    """The task of this dotted name."""
    module, _, attribute = name.rpartition(".")
    task: Task[..., object, object] = getattr(import_module(module), attribute)
    return task


async def main(settings: str, lane: str, *calls: str) -> None:
    """Enqueue the calls in one lane, run that lane alone, and wait for the end."""
    jobs = FastAPIJobs(**json.loads(settings))
    # The lane is shut at the other host, which must not take its jobs.
    await jobs.runtime.start(only_queues=[lane])
    wanted = [
        find(name).using(queue=lane, app=jobs).enqueue(*json.loads(arguments))
        for name, arguments in zip(calls[::2], calls[1::2], strict=True)
    ]
    # Side by side: the immediate backend returns only when the job has run.
    await asyncio.gather(*wanted)
    await asyncio.sleep(2 * LIMIT)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
