"""mypy and pyright see wrong arguments, and only those."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WRONG = {
    number
    for number, line in enumerate((HERE / "wrong.py").read_text().splitlines(), start=1)
    if line.endswith("# WRONG")
}


def test_mypy_sees_what_is_wrong_and_nothing_else() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output=json"]
    command += ["--disable-error-code=import-untyped"]
    files = [str(HERE / "right.py"), str(HERE / "wrong.py")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [json.loads(line) for line in done.stdout.splitlines()]
    found = {
        (Path(each["file"]).name, each["line"]) for each in errors if each["severity"] == "error"
    }
    assert found == {("wrong.py", number) for number in WRONG}, done.stdout + done.stderr


def test_pyright_sees_what_is_wrong_and_nothing_else() -> None:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    files = [str(HERE / "right.py"), str(HERE / "wrong.py")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found == {("wrong.py", number) for number in WRONG}, done.stdout
