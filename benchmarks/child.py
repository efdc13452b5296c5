"""One run in a process of its own: `python -m benchmarks.child module:function '{"n": 1}' [core]`.

The answer is one line of JSON on standard output. Imports nothing of ours, so that other
environments can use it.
"""

import asyncio
import importlib
import inspect
import json
import os
import sys
from typing import Any


def pin(core: int) -> None:
    """Stay on one core, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


def main() -> None:
    """Call what the command line names and print what it returns."""
    call, arguments, core = sys.argv[1:4]
    if core:
        pin(int(core))
    module, _, name = call.partition(":")
    function: Any = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    answer = function(**json.loads(arguments))
    if inspect.iscoroutine(answer):
        answer = asyncio.run(answer)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
