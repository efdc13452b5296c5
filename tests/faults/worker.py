"""A process that only runs jobs, until SIGTERM."""

import asyncio
import json
import logging
import os
import signal
from pathlib import Path

from fastapi_jobs import FastAPIJobs
from tests.faults import clock, tasks

__all__ = ["tasks"]


async def main() -> None:
    """Run jobs; the file `ready-<pid>` says that it began."""
    clock.install()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with FastAPIJobs(**json.loads(os.environ["FAULTS_SETTINGS"])):
        (Path(os.environ["FAULTS_FOLDER"]) / f"ready-{os.getpid()}").touch()
        await stopped.wait()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
    asyncio.run(main())
