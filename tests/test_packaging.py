"""What is published works by itself: the wheel holds every file and needs no checkout beside it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
FOLDERS = {
    "fastapi_jobs": "fastapi_jobs",
    "settings": "fastapi_jobs/settings",
    "templates": "fastapi_jobs/templates",
}
"""Folders of the checkout, and where they are in the package."""

USE = """
import importlib.resources, sys, tomllib, fastapi_jobs
from fastapi_jobs.conf import settings
defaults = importlib.resources.files("fastapi_jobs.settings") / "defaults.toml"
templates = importlib.resources.files("fastapi_jobs.templates")
assert tomllib.loads(defaults.read_text())["default"]["fastapi_jobs"]["backend"] == "asyncio"
assert templates.is_dir()
print(settings.backend, fastapi_jobs.__file__, *sys.path, sep="\\n")
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("tree")
    for file in SOURCES:
        shutil.copy(ROOT / file, copy)
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignore)
    return copy


@pytest.fixture(scope="module")
def distributions(tree: Path) -> Path:
    """The folder of the built sdist and of the wheel that was built from it."""
    built = tree / "dist"
    # Without isolation: setuptools is in the test extra, nothing has to be downloaded.
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), "."], tree)
    return built


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment: the wheel, our libraries, and no way to the checkout."""
    venv = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], venv)
    wheel = str(only(distributions, "*.whl"))
    pip = [sys.executable, "-m", "pip", "--python", str(venv), "install", "--no-deps", "--no-index"]
    run([*pip, wheel], venv)
    # A path file lends the libraries; path files in there, as that of the checkout, do not count.
    site_packages = only(venv, "lib/python*/site-packages")
    (site_packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return venv / "bin"


def test_the_wheel_holds_exactly_the_files_of_the_tree(tree: Path, distributions: Path) -> None:
    with zipfile.ZipFile(only(distributions, "*.whl")) as wheel:
        shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    missing, surplus = sorted(files_of(tree) - shipped), sorted(shipped - files_of(tree))
    assert not missing, f"no __init__.py there, or not in package-data of pyproject.toml: {missing}"
    assert not surplus


def test_the_sdist_holds_what_the_wheel_is_built_from(tree: Path, distributions: Path) -> None:
    with tarfile.open(only(distributions, "*.tar.gz")) as sdist:
        shipped = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {str(f.relative_to(tree)) for folder in FOLDERS for f in files(tree / folder)}
    assert sorted({*SOURCES, *wanted} - shipped) == []


def test_the_installed_wheel_runs_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    lines = run([str(installed / "python"), "-c", USE], tmp_path).splitlines()
    assert lines[0] == "asyncio"
    assert Path(lines[1]).is_relative_to(installed.parent)
    assert str(ROOT) not in lines[2:]


def test_the_installed_command_answers(installed: Path, tmp_path: Path) -> None:
    assert "worker" in run([str(installed / "fastapi-jobs"), "--help"], tmp_path)


def test_the_editable_install_finds_the_data_folders(tmp_path: Path) -> None:
    lines = run([sys.executable, "-c", USE], tmp_path).splitlines()
    assert lines[0] == "asyncio"
    assert lines[1] == str(ROOT / "fastapi_jobs" / "__init__.py")
    assert str(ROOT) not in lines[2:], "a host's own `settings` module would collide with ours"


def run(command: list[str], folder: Path) -> str:
    """The standard output of a command that must succeed."""
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    """The one path in `folder` that matches."""
    (found,) = folder.glob(pattern)
    return found


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def files_of(tree: Path) -> set[str]:
    """The paths inside the package of every file of the tree."""
    return {
        f"{place}/{file.relative_to(tree / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for file in files(tree / folder)
    }
