"""A file has one topic and a function fits a screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "fastapi_jobs"
FILE_LINES = 400
FUNCTION_LINES = 60


def too_long(folder: Path) -> Iterator[str]:
    """Files and functions above their limits, each with its length."""
    for file in sorted(folder.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(folder.parent)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            yield f"{name}: {lines} lines, at most {FILE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{name}:{node.lineno} {node.name}: {lines} lines, at most 60"


def test_files_and_functions_stay_short() -> None:
    assert list(too_long(PACKAGE)) == []


def test_long_ones_are_named(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "long_file.py").write_text("x = 1\n" * 401)
    (package / "fitting.py").write_text("x = 1\n" * 340 + "def f():\n" + "    x = 1\n" * 59)
    (package / "long_function.py").write_text(
        "class A:\n    async def f(self):\n" + "        x = 1\n" * 60
    )
    assert list(too_long(package)) == [
        "package/long_file.py: 401 lines, at most 400",
        "package/long_function.py:2 f: 61 lines, at most 60",
    ]
