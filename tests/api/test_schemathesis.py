"""Schemathesis asks for whatever OpenAPI allows, and for what it does not."""

import subprocess
import sys
from pathlib import Path

from tests.api.serving import serving

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT_SECONDS = 300


def test_every_answer_is_documented_and_true(sqlite_url: str, tmp_path: Path) -> None:
    """All phases, stateful links included: no server error, no undocumented answer, no violation
    of a schema.
    """
    with serving(sqlite_url, tmp_path / "server.log") as url:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
        done = subprocess.run(
            [*command, "run", f"{url}/openapi.json", "--no-color"],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "server.log").read_text()
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
