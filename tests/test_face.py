"""The public face, name by name: chosen, documented, loaded at its first use."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

import fastapi_jobs

NAMES = [
    *("Action", "BackgroundJobs", "CancelJob", "DuplicateJob", "FastAPIJobs", "FastAPIJobsError"),
    *("GiveUp", "Job", "JobCancelled", "JobContext", "JobFailed", "JobFilter", "JobNotFound"),
    *("JobStatus", "QueueFull", "Retry", "RetryLater", "Scope", "Signature", "Snooze"),
    *("StoreUnavailable", "Task", "Unique", "current_job", "task"),
]


def test_the_face_is_the_chosen_one() -> None:
    assert sorted(fastapi_jobs.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(fastapi_jobs))
    assert len(NAMES) <= 25


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_documented(name: str) -> None:
    value = getattr(fastapi_jobs, name)
    if name == "BackgroundJobs":  # Annotated[class, Depends(...)]
        value = get_args(value)[0]
    assert inspect.isclass(value) or inspect.isfunction(value)
    assert inspect.getdoc(value), f"{name} has no docstring"


def shown() -> list[str]:
    """What the pages of the reference show."""
    pages = (Path(__file__).parent.parent / "docs" / "pages" / "reference").glob("*.md")
    return [name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)]


@pytest.mark.parametrize("name", shown())
def test_all_that_the_reference_shows_is_documented(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    value = getattr(import_module(module), attribute)
    if not inspect.isclass(value):
        assert inspect.getdoc(value)
        return
    bare = [
        member
        for member, found in inspect.getmembers(value)
        if not member.startswith(("_", "test_"))
        and (inspect.isroutine(found) or isinstance(found, property))
        and (getattr(found, "__module__", None) or value.__module__).startswith("fastapi_jobs")
        and not inspect.getdoc(found)
    ]
    assert value.__doc__
    assert not value.__doc__.startswith(f"{value.__name__}("), "it is what dataclass makes"
    assert bare == []


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(fastapi_jobs.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [name.name for node in block.body for name in getattr(node, "names", [])]
    assert sorted(seen) == sorted(NAMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'fastapi_jobs' has no attribute 'tsak'"):
        _ = fastapi_jobs.tsak  # type: ignore[attr-defined]


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = (
        "import fastapi_jobs, sys; fastapi_jobs.Retry;"
        "print([name for name in ('fastapi', 'sqlalchemy', 'fastapi_jobs.retry')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['fastapi_jobs.retry']"
