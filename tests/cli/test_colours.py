"""Colours on a terminal, and nowhere else."""

import os
import pty
import subprocess

from tests.cli.command import COMMAND, LIMIT, Site, environment
from tests.cli.test_commands import good, stored

COLOUR = "\x1b[3"


def on_a_terminal(site: Site, *words: str, **variables: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    wanted = {key: value for key, value in environment({}).items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [*COMMAND, *words],
        cwd=site.folder,
        env=wanted | {"TERM": "xterm-256color"} | variables,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux ends a terminal whose other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(LIMIT) == 0, shown
    return shown.decode()


def test_colours_on_a_terminal_only(sqlite_site: Site) -> None:
    job = stored(sqlite_site)
    good(sqlite_site, "cancel", job)
    assert COLOUR in on_a_terminal(sqlite_site, "list")
    assert COLOUR not in on_a_terminal(sqlite_site, "list", NO_COLOR="1")
    assert "\x1b" not in sqlite_site.run("list", NO_COLOR="").stdout
    assert "\x1b" not in sqlite_site.run("prune", "--older-than", "1s", NO_COLOR="").stderr


def test_a_bar_on_a_terminal(sqlite_site: Site) -> None:
    assert "measuring" in on_a_terminal(sqlite_site, "bench", "--seconds", "0.3")
    assert "measuring" not in sqlite_site.run("bench", "--seconds", "0.3").stderr
