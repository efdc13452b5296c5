"""The host's own code: do its task modules, observers and backends load?"""

import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.make import backends_of, make_backends
from fastapi_jobs.checks.capabilities import shortcomings
from fastapi_jobs.checks.findings import Finding, error, ok, warning
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import FastAPIJobsError, SettingsError, SettingsProblem, did_you_mean
from fastapi_jobs.lifecycle_log import load_observers
from fastapi_jobs.registry import registry
from fastapi_jobs.wording import error_text

ERROR_BYTES = 500


def import_tasks(settings: Settings) -> list[Finding]:
    """Import every task module; an error finding for each that cannot be imported, or for none."""
    found = [
        problem
        for module in settings.task_modules
        if (problem := _import(module, settings)) is not None
    ]
    if not found and not registry:
        origin = settings.origins.get("task_modules", "settings")
        rule = "holds no @task" if settings.task_modules else "names no module"
        found.append(
            error(
                "no-tasks",
                f"No task is registered: task_modules ({origin}) {rule}, so nothing can run here. "
                'Name the modules that hold your tasks: task_modules = ["my_app.tasks"].',
            )
        )
    return found


def load_task_modules(settings: Settings) -> None:
    """Import every task module; what one of them raises, this raises.

    Raises:
        SettingsError: a module does not exist.
    """
    for module in settings.task_modules:
        try:
            import_module(module)
        except ModuleNotFoundError as problem:
            if not _is_missing(module, problem):
                raise
            origin = settings.origins.get("task_modules", "settings")
            rule, cure = "there is no such module.", _cure(module, problem)
            told = SettingsProblem("task_modules", origin, repr(module), rule, cure)
            raise SettingsError([told]) from problem


def _is_missing(module: str, problem: ModuleNotFoundError) -> bool:
    """Whether it is the module itself, or a package that it is in, and no import inside."""
    return problem.name is not None and f"{module}.".startswith(f"{problem.name}.")


def _import(module: str, settings: Settings) -> Finding | None:
    try:
        import_module(module)
    except (Exception, SystemExit) as problem:
        origin = settings.origins.get("task_modules", "settings")
        text = f"task module {module!r} ({origin}) cannot be imported: {_reason(problem)}"
        return error("task-module", f"{text}{_cure(module, problem)}")
    return None


def _reason(problem: BaseException) -> str:
    if isinstance(problem, FastAPIJobsError):
        return str(problem)
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{error_text(problem, ERROR_BYTES)}{where}."


def _cure(module: str, problem: BaseException) -> str:
    if not isinstance(problem, ModuleNotFoundError) or problem.name is None:
        return ""
    if not _is_missing(module, problem):
        return f" Is the package of {problem.name!r} installed here?"
    hint = did_you_mean(problem.name, _neighbours(problem.name))
    return hint or f" It is looked for in {sys.path[0] or '.'} first: run in your app's folder."


def _neighbours(name: str) -> Iterator[str]:
    parent = name.rpartition(".")[0]
    package = sys.modules.get(parent)
    folders = [sys.path[0] or "."] if package is None else list(package.__path__)
    for found in iter_modules(folders):
        yield f"{parent}.{found.name}" if parent else found.name


def judge_tasks(settings: Settings) -> Iterator[Finding]:
    """Task modules, observers, backends, and options that the effective backends cannot honour."""
    problems = import_tasks(settings)
    yield from problems
    if not problems:
        yield ok("tasks", f"{_count(len(registry), 'task')} can be imported.")
    try:
        load_observers(settings)
    except SettingsError as failed:
        yield from (error("observers", str(each)) for each in failed.problems)
    declared = [each.options.backend for each in registry.values()]
    try:
        backends = make_backends(settings, backends_of(settings, declared))
    except SettingsError as failed:
        yield from (error("backend", str(each)) for each in failed.problems)
        return
    yield from _judge_options(settings, backends)


def _judge_options(settings: Settings, backends: Mapping[str, Backend]) -> Iterator[Finding]:
    kind = error if settings.strict_capabilities else warning
    for definition, problem in shortcomings(settings, backends):
        yield kind("capability", f"task {definition.name!r}: {problem}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
