"""Reads the blocks of the README and of other pages, and makes the table of settings.

`python -m tests.readme` writes that table, from `defaults.toml`, into the README.
"""

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
RUNNER = Path(__file__).parent / "readme_runner.py"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w.]+\.(?:py|toml))\n")
_TABLE = re.compile(r"\[default\.fastapi_jobs(?:\.(\w+))?\]")
_KEY = re.compile(r"(\w+) = ")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text, line, and the file that its first line names."""

    language: str
    text: str
    line: int
    file: str | None
    page: Path

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.language}-line-{self.line}"


def blocks(language: str, page: Path = README) -> list[Block]:
    """The page's blocks of this language."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        named = _NAME.match(match[2])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], line, named[1] if named else None, page))
    return [block for block in found if block.language == language]


def lay_out(folder: Path, *pages: Path) -> None:
    """Write every file that a block names, as a reader would; of two of a name, the first."""
    for page in pages:
        for block in [*blocks("toml", page), *blocks("python", page)]:
            if block.file is not None and not (folder / block.file).exists():
                (folder / block.file).write_text(block.text)


WARNINGS = (
    *("-W", "error::DeprecationWarning"),
    *("-W", "ignore::DeprecationWarning:fastapi_taskflow.backends.sqlite"),  # on 3.12 and later
)


def run_block(text: str, folder: Path) -> None:
    """Run a block in the folder that was laid out for it, in a process of its own."""
    script = folder / "the_block.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, "-P", *WARNINGS, str(RUNNER), str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run_pytest(folder: Path, *files: str) -> str:
    """Run the tests in a folder, warnings as errors, and return what pytest said."""
    options = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function")
    chosen = (*files, *(f"-o{each}" for each in options))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *chosen],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def environments_of(text: str) -> set[str]:
    """The environments that a settings file has tables for, and the default one."""
    named = set(re.findall(r"^\[(\w+)\.fastapi_jobs", text, re.MULTILINE))
    return {"development", *named} - {"default"}


def table(marker: str) -> list[list[str]]:
    """The cells of the table between two comments of this name, without its head."""
    rows = [line for line in between(marker).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def between(marker: str) -> str:
    """The README's text between the comments `marker` and `/marker`."""
    text = README.read_text("utf-8")
    return text.partition(f"<!-- {marker} -->\n")[2].partition(f"<!-- /{marker} -->")[0]


def settings_table() -> str:
    """Every shipped setting: its key, its default, and what its comment says."""
    lines = ["| key | default | meaning |", "|---|---|---|"]
    text = files("fastapi_jobs.settings").joinpath("defaults.toml").read_text("utf-8")
    prefix, said = "", ""
    for line in text.splitlines():
        if (head := _TABLE.fullmatch(line)) is not None:
            prefix, said = f"{head[1]}." if head[1] else "", ""
        elif line.startswith("# [") or (line.startswith("# ") and _KEY.match(line[2:])):
            continue
        elif line.startswith("#"):
            said = f"{said} {line[2:]}".strip()
        elif (key := _KEY.match(line)) is not None:
            value = line[key.end() :]
            lines.append(f"| `{prefix}{key[1]}` | `{value}` | {_cell(said)} |")
            said = ""
        elif not line:
            said = ""
    return "\n".join([*lines, *_queue_rows(text), *_ROUTES]) + "\n"


_ROUTES = [
    "| `celery.options` | | settings of Celery's own that ours do not decide, by their names |",
    "| `admin.users.<name>.password_hash` | | what `fastapi-jobs admin-password` prints |",
    '| `admin.users.<name>.role` | `"viewer"` | viewer looks, operator acts, admin deletes and '
    "sets limits too |",
    '| `routes` | | which queue a task goes to, by patterns: `"billing.*" = "money"` |',
]


def _queue_rows(text: str) -> list[str]:
    row = re.compile(r"^# (\w+) = (\S+)\s+# (.*)$", re.MULTILINE)
    found = row.findall(text.partition("# [default.fastapi_jobs.queues.reports]")[2])
    return [f"| `queues.<name>.{key}` | `{value}` | {_cell(said)} |" for key, value, said in found]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def defaults() -> dict[str, object]:
    """The shipped settings as dotted keys."""
    text = files("fastapi_jobs.settings").joinpath("defaults.toml").read_text("utf-8")
    found: dict[str, object] = {}
    for key, value in tomllib.loads(text)["default"]["fastapi_jobs"].items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            found[key] = value
    return found


def write_settings_table() -> None:
    """Put the table of settings into the README."""
    text = README.read_text("utf-8")
    head, start, rest = text.partition("<!-- settings -->\n")
    end = "<!-- /settings -->"
    README.write_text(head + start + settings_table() + end + rest.partition(end)[2], "utf-8")


if __name__ == "__main__":
    write_settings_table()
