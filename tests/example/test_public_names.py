"""The example shows how a host uses fastapi_jobs: by its public names, as a host should."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import example_project
from tests.floors import Place, walk

PUBLIC = ("fastapi_jobs", "fastapi_jobs.testing")
"""Modules whose `__all__` is for hosts."""
ALSO_PUBLIC = {"fastapi_jobs.conf.settings", "fastapi_jobs.signals.Event"}
INTERNAL = {"runtime", "store"}
"""Attributes that lead behind the face."""


def trespasses(folder: Path) -> Iterator[str]:
    """Each place in a folder where more than the public face is used."""
    for file in sorted(folder.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        where = file.relative_to(folder)
        for node, _ in walk(tree, Place.TOP):
            yield from (f"{where}:{node.lineno} {name}" for name in _internal(node))
        for attribute in ast.walk(tree):
            if isinstance(attribute, ast.Attribute) and attribute.attr in INTERNAL:
                yield f"{where}:{attribute.lineno} .{attribute.attr}"


def _internal(node: ast.stmt | ast.Call) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=str(module), names=names, level=0) if _is_ours(module):
            known = import_module(module).__all__ if module in PUBLIC else ()
            used = [(each.name, f"{module}.{each.name}") for each in names]
            yield from (
                full for name, full in used if name not in known and full not in ALSO_PUBLIC
            )
        case ast.Import(names=names):
            yield from (a.name for a in names if _is_ours(a.name) and a.name not in PUBLIC)
        case ast.Call(args=[ast.Constant(value=str(name)), *_]) if _is_ours(name):
            yield name


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "fastapi_jobs"


def test_the_example_uses_public_names_only() -> None:
    assert list(trespasses(Path(example_project.__file__).parent)) == []


def test_each_way_around_is_found(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from fastapi_jobs import FastAPIJobs, task, queries\n"
        "from fastapi_jobs.store.queries import get_logs\n"
        "import fastapi_jobs.models\n"
        "def later(jobs):\n"
        "    import_module('fastapi_jobs.runtime')\n"
        "    return jobs.runtime\n"
    )
    assert list(trespasses(tmp_path)) == [
        "app.py:1 fastapi_jobs.queries",
        "app.py:2 fastapi_jobs.store.queries.get_logs",
        "app.py:3 fastapi_jobs.models",
        "app.py:5 fastapi_jobs.runtime",
        "app.py:6 .runtime",
    ]
