"""The app of `fuzzed` in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def serving(database_url: str, log: Path) -> Iterator[str]:
    """The URL of a running server."""
    port = free_port()
    command = [sys.executable, "-m", "tests.api.fuzzed", database_url, str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx2.get(f"{url}/jobs/health").status_code == 200
        except httpx2.HTTPError:
            return False

    try:
        wait_until(answers, 60)
        yield url
    finally:
        process.terminate()
        process.wait(60)
