"""Runs one block of the README in the folder of its five-minute start.

`await` may stand outside of a function there; such a block finds the store open and jobs running.
"""

import ast
import asyncio
import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

from fastapi_jobs import FastAPIJobs


def main(script: Path) -> None:
    """Run `script` as a module of its folder."""
    sys.path.insert(0, str(script.parent))
    text = script.read_text()
    names: dict[str, Any] = {"__name__": "the_block"}
    code = compile(text, str(script), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
    elif "FastAPIJobs(" in text:
        asyncio.run(_await(code, names))
    else:
        asyncio.run(_await_beside(import_module("main").jobs, code, names))


async def _await(code: CodeType, names: dict[str, Any]) -> None:
    await eval(code, names)


async def _await_beside(jobs: FastAPIJobs, code: CodeType, names: dict[str, Any]) -> None:
    async with jobs:
        await eval(code, names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
