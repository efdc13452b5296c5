"""What pages take from elsewhere, so that it is written once: the README, the commands' help.

A page asks for it by a comment on a line of its own: `<!-- readme: Five minutes -->` for a section
without its heading, `<!-- readme: settings -->` for what stands between two comments of that name,
`<!-- help -->` for the help of every command.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from typer.testing import CliRunner

from fastapi_jobs.cli.commands import COMMANDS, make_app

README = Path(__file__).parent.parent / "README.md"
PLACES = {
    "what-cancel-and-timeout-really-do": "/explanation/guarantees.md#stopping-a-job",
    "growing-to-many-servers": "/how-to/many-servers.md",
    "the-admin-site": "/how-to/admin-site.md",
    "what-is-not-built-yet": "/explanation/not-built.md",
}
"""Where on the site a link within the README leads."""

_WISH = re.compile(r"^<!-- (?:readme: (?P<part>.+?)|(?P<help>help)) -->$", re.MULTILINE)
_HEADING = re.compile(r"#+ (.+)")
_ANCHOR = re.compile(r"\]\(#([\w-]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with what it asks for; called by MkDocs."""
    return _WISH.sub(
        lambda wish: commands_help() if wish["help"] else readme(wish["part"]), markdown
    )


def readme(part: str) -> str:
    """A marked part of the README or one of its sections, its links leading into the site.

    Raises:
        PluginError: there is no such part, or a link in it leads nowhere on the site.
    """
    text = README.read_text("utf-8")
    begin, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
    found = text.partition(begin)[2].partition(end)[0] if begin in text else section(text, part)
    if not found.strip():
        raise PluginError(f"The README has no part {part!r}.")
    return _ANCHOR.sub(_place, found.strip())


def _place(link: re.Match[str]) -> str:
    if link[1] not in PLACES:
        raise PluginError(f"Say in PLACES of {__file__} where #{link[1]} of the README leads.")
    return f"]({PLACES[link[1]]})"


def section(text: str, heading: str) -> str:
    """What stands under this heading, up to the next one, of whatever level."""
    in_code, is_inside, found = False, False, list[str]()
    for line in text.splitlines():
        in_code ^= line.startswith("```")
        head = None if in_code else _HEADING.fullmatch(line)
        if head is not None:
            is_inside = head[1] == heading
        elif is_inside:
            found.append(line)
    return "\n".join(found)


def commands_help() -> str:
    """The help of the program and of every command, a section each."""
    sections = [_help_of(), *(f"## {name}\n\n{_help_of(name)}" for name in COMMANDS)]
    return "\n\n".join(sections)


def _help_of(*command: str) -> str:
    wide = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    said = CliRunner().invoke(
        make_app(), [*command, "--help"], prog_name="fastapi-jobs", env=wide, catch_exceptions=False
    )
    return f"```text\n{said.output.strip()}\n```"
