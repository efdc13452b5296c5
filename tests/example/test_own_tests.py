"""The example's own tests pass, run as its reader would run them."""

import re
import subprocess
import sys

import pytest

from tests.example.running import ROOT


@pytest.mark.slow
def test_the_example_passes_its_own_tests() -> None:
    # In a process of their own: here, its FastAPIJobs would be one too many for other tests.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "example_project/tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout
