"""Schemathesis asks for whatever OpenAPI allows, and for what it does not."""

from pathlib import Path

from tests.api.serving import serving
from tests.fuzzing import fuzz

CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_every_answer_is_documented_and_true(sqlite_url: str, tmp_path: Path) -> None:
    """All phases, stateful links included: no server error, no undocumented answer, no violation
    of a schema.
    """
    log = tmp_path / "server.log"
    with serving(sqlite_url, log) as url:
        fuzz(url, CONFIG, tmp_path, log.read_text)
