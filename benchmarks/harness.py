"""Fresh processes, interleaved runs, medians, and one row of the table for each figure."""

import asyncio
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RAW = Path(__file__).resolve().parent / "raw"
CHILD_LIMIT = 600.0

Raw = dict[str, Any]


@dataclass(slots=True)
class Row:
    """One line of the table. `met` is None where nothing is asked."""

    figure: str
    ours: str
    baseline: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Bench:
    """What a figure needs: how large, how often, where PostgreSQL is, where raw runs are kept."""

    postgres: Callable[[], str] | None
    """Gives the URL of an empty database; None leaves PostgreSQL out."""
    scale: float = 1.0
    rounds: int = 5
    seconds: float = 10.0
    """How long an idle process is watched."""
    peers: bool = True
    """Measure other packages too, which are installed from the package index."""
    raw: dict[str, list[Raw]] = field(default_factory=dict)

    def size(self, full: int, least: int = 20) -> int:
        """`full` made smaller for a quick look."""
        return max(int(full * self.scale), least)

    @property
    def databases(self) -> list[str]:
        """The databases that are measured."""
        return ["sqlite", *([] if self.postgres is None else ["postgresql"])]

    @contextmanager
    def database(self, kind: str) -> Iterator[str]:
        """The URL of an empty database of this kind."""
        if kind == "postgresql":
            assert self.postgres is not None
            yield self.postgres()
            return
        folder = tempfile.mkdtemp(prefix="fastapi-jobs-bench-")
        try:
            yield f"sqlite:///{folder}/jobs.db"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, label: str, call: str, **arguments: Any) -> Raw:
        """Run `module:function` in a fresh process; its answer is kept among the raw runs."""
        result = run_child(call, arguments)
        self.raw.setdefault(label, []).append(result)
        return result

    def interleave(self, variants: Mapping[str, Callable[[], Raw]]) -> dict[str, list[Raw]]:
        """A B A B …: what else the machine does hits every variant alike."""
        results: dict[str, list[Raw]] = {name: [] for name in variants}
        for number in range(self.rounds):
            for name, run in variants.items():
                print(f"  {name} ({number + 1} of {self.rounds})", file=sys.stderr, flush=True)
                results[name].append(run())
        return results


def run_child(
    call: str,
    arguments: Mapping[str, Any],
    *,
    python: str | Path = sys.executable,
    core: int | None = None,
) -> Raw:
    """The answer of `call` in a fresh process, on one core if asked.

    Raises:
        RuntimeError: the process failed; with the end of what it said.
    """
    with start_child(call, arguments, python=python, core=core) as process:
        said, complaint = process.communicate(timeout=CHILD_LIMIT)
    if process.returncode:
        raise RuntimeError(f"{call} ended with {process.returncode}:\n{complaint[-3000:]}")
    answer: Raw = json.loads(said.splitlines()[-1])
    return answer


@contextmanager
def start_child(
    call: str,
    arguments: Mapping[str, Any],
    *,
    python: str | Path = sys.executable,
    core: int | None = None,
) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs `call`; it is killed at the end of the block."""
    command = [str(python), "-m", "benchmarks.child", call, json.dumps(dict(arguments))]
    process = subprocess.Popen(
        [*command, "" if core is None else str(core)],
        cwd=ROOT,
        env=os.environ | {"FASTAPI_JOBS_LOG_LIFECYCLE": "false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


async def until(true: Callable[[], bool], *, pause: float = 0.01, limit: float = 300.0) -> None:
    """Return when `true()` holds.

    Raises:
        TimeoutError: it does not hold after `limit` seconds.
    """
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {limit:g} s")
        await asyncio.sleep(pause)


def median(runs: Sequence[Raw], key: str) -> float:
    """The median of one value over all runs."""
    return float(statistics.median(run[key] for run in runs))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def at_least(figure: str, ours: float, baseline: float, target: float, names: str) -> Row:
    """A row of a rate: ours must be `target` of the baseline; `names` is "unit, baseline"."""
    unit, _, beside = names.partition(", ")
    ratio = ours / baseline
    return Row(
        figure,
        f"{ours:,.0f} {unit}",
        f"{baseline:,.0f} {beside}".rstrip(),
        f"{ratio:.2f}",
        f">= {target:g}",
        ratio >= target,
    )


def below(figure: str, ours: float, target: float, unit: str, digits: int = 2) -> Row:
    """A row of a cost that has a limit."""
    return Row(
        figure, f"{ours:,.{digits}f} {unit}", target=f"< {target:g} {unit}", met=ours < target
    )


def machine() -> Raw:
    """What the figures depend on."""
    packages = ("fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "sqlalchemy", "psycopg")
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": found,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def keep(name: str, bench: Bench, rows: Sequence[Row], facts: Raw) -> Path:
    """Keep the raw runs of one figure as JSON."""
    RAW.mkdir(exist_ok=True)
    path = RAW / f"{name}.json"
    content = {"machine": facts, "rows": [asdict(row) for row in rows], "runs": bench.raw}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ("figure", "ours", "baseline", "ratio", "target", "met?")
    verdict = {True: "yes", False: "NO", None: "-"}
    lines = [
        head,
        *(
            (row.figure, row.ours, row.baseline, row.ratio, row.target, verdict[row.met])
            for row in rows
        ),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)
