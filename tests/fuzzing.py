"""Runs Schemathesis against a server, as a person would."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 300
PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")


@dataclass(frozen=True)
class Followed:
    """A link that led from the answer to one operation on to another, and the answer there."""

    origin: str
    to: str
    status: int


def fuzz(url: str, config: Path, folder: Path, log: Callable[[], str], *options: str) -> None:
    """All phases over the app's OpenAPI; a finding or a phase left out fails the test.

    Reports go to `folder`; `log` gives what the server has said.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
    done = subprocess.run(
        [*command, "run", f"{url}/openapi.json", "--no-color", *options],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr + log()
    for phase in PHASES:
        assert f"✅ {phase}" in done.stdout, done.stdout


def followed(events: Path) -> Iterator[Followed]:
    """The links that the stateful phase followed, from its report."""
    for line in events.read_text(encoding="utf-8").splitlines():
        ended = json.loads(line).get("ScenarioFinished", {})
        if ended.get("phase") == "stateful":
            yield from _in_scenario(ended["recorder"])


def _in_scenario(recorder: dict[str, Any]) -> Iterator[Followed]:
    cases = recorder.get("cases", {})
    for name, case in cases.items():
        if case["is_transition_applied"]:
            origin, to = (each["value"] for each in (cases[case["parent_id"]], case))
            status = recorder["interactions"][name]["response"]["status_code"]
            yield Followed(_operation(origin), _operation(to), status)


def _operation(case: dict[str, Any]) -> str:
    return f"{case['method']} {case['path']}"
