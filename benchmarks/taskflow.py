"""fastapi-taskflow with SQLite, in an environment of its own: it is no dependency of ours."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.harness import Bench

PACKAGE = "fastapi-taskflow==0.12.1"


async def theirs(folder: str, jobs: int, enqueuers: int) -> dict[str, Any]:
    """The same load: each caller adds a task, and goes on when it ran and was written."""
    from fastapi import BackgroundTasks
    from fastapi_taskflow import TaskManager

    manager = TaskManager(snapshot_db=f"{folder}/tasks.db", requeue_pending=True)

    @manager.task()  # type: ignore[untyped-decorator, unused-ignore]
    async def noop() -> None: ...

    await manager.startup()
    left = jobs

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            background = manager.get_tasks(BackgroundTasks())
            background.add_task(noop)
            await background()

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(enqueuers)))
    seconds = time.perf_counter() - start
    await manager.shutdown()
    return {"seconds": seconds, "rate": jobs / seconds}


def taskflow_run(bench: "Bench", jobs: int, enqueuers: int) -> dict[str, Any]:
    """One run; an answer without a `rate` says why there is none."""
    from benchmarks.harness import run_child

    try:
        with tempfile.TemporaryDirectory(prefix="fastapi-jobs-bench-") as folder:
            arguments = {"folder": folder, "jobs": jobs, "enqueuers": enqueuers}
            answer = run_child("taskflow:theirs", arguments, python=_python())
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        answer = {"failed": str(error)[-500:]}
        print(f"fastapi-taskflow is left out: {error}", file=sys.stderr)
    bench.raw.setdefault("taskflow", []).append(answer)
    return answer


def _python() -> Path:
    folder = Path(tempfile.gettempdir()) / f"fastapi-jobs-bench-{os.getuid()}-{PACKAGE}"
    ready = folder / "ready"
    python = folder / "bin" / "python"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True)
        ready.touch()
    return python
