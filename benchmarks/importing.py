"""What `import fastapi_jobs` adds to `import fastapi, sqlmodel`."""

import sys
import time
from functools import partial

from benchmarks.harness import Bench, Raw, Row, median

FORBIDDEN = ("celery", "redis", "sqladmin", "alembic", "dynaconf", "typer", "rich")


def ours() -> Raw:
    """Seconds of our import after theirs."""
    import fastapi  # noqa: F401
    import sqlmodel  # noqa: F401

    begin = time.perf_counter()
    import fastapi_jobs

    seconds = time.perf_counter() - begin
    for name in fastapi_jobs.__all__:
        getattr(fastapi_jobs, name)
    whole = time.perf_counter() - begin
    loaded = [name for name in FORBIDDEN if name in sys.modules]
    return {"seconds": seconds, "whole_seconds": whole, "loaded": loaded}


def rows(bench: Bench) -> list[Row]:
    """The time, and that nothing heavy came along."""
    runs = bench.interleave({"import": partial(bench.run, "import", "importing:ours")})["import"]
    seconds = median(runs, "seconds")
    loaded = sorted({name for run in runs for name in run["loaded"]})
    return [
        Row(
            "import fastapi_jobs adds",
            f"{seconds * 1e3:.0f} ms" + (f", loads {', '.join(loaded)}" if loaded else ""),
            target="< 100 ms, nothing heavy",
            met=seconds < 0.1 and not loaded,
        ),
        Row("every public name loaded adds", f"{median(runs, 'whole_seconds') * 1e3:.0f} ms"),
    ]
