"""Load the settings: defaults, files, secrets, variables, keywords; then check them whole."""

import os
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files as resources
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fastapi_jobs.conf.checks import clashes
from fastapi_jobs.conf.describe import leaves
from fastapi_jobs.conf.files import OURS, Chosen, Files, read_files
from fastapi_jobs.conf.layers import Layer, Merged
from fastapi_jobs.conf.model import Settings, remember
from fastapi_jobs.conf.rules import RuleBroken
from fastapi_jobs.conf.shape import KeyPath, dotted
from fastapi_jobs.conf.shown import shown
from fastapi_jobs.conf.variables import ENVIRONMENT, MODULE, add_variables
from fastapi_jobs.errors import SettingsError, SettingsProblem, did_you_mean

DEFAULTS = "defaults.toml"
ALWAYS_THERE = ("development", "testing")


def load(settings: str | Path | Settings | None = None, **overrides: object) -> Settings:
    """The effective settings of `settings` (a file, a dotted module, or settings to change).

    Without it they are searched as the README says. Raises SettingsError with every problem.
    """
    if isinstance(settings, Settings):
        return change(settings, "FastAPIJobs", overrides)
    environment = os.environ.get(ENVIRONMENT, "").strip().lower() or ALWAYS_THERE[0]
    files = read_files(_chosen(settings))
    merged = Merged(problems=files.problems)
    _check_environment(merged, environment, files)
    home = files.found[0].path.parent if files.found else Path.cwd()
    # the shipped jobs.db lies beside the host's file, the same from whatever folder it is run
    merged.add(Layer(DEFAULTS, home, shipped(), DEFAULTS))
    for file in files.found:
        for name in ("default", environment):
            table = file.tables.get(name, {})
            origin = f"{file.label} [{name}]"
            merged.add(Layer(origin, file.path.parent, table, origin))
    add_variables(merged, os.environ)
    _add_keywords(merged, "FastAPIJobs", overrides)
    return _checked(merged, environment, [file.path for file in files.found])


def change(settings: Settings, caller: str, overrides: Mapping[str, object]) -> Settings:
    """A checked copy with some keys changed; `caller` is what the origin of these will say."""
    if not overrides:
        return settings
    merged = Merged(values=settings.model_dump())
    merged.origins = {path: settings.origins[dotted(path)] for path, _ in leaves(settings)}
    _add_keywords(merged, caller, overrides)
    return _checked(merged, settings.environment, settings.files)


@cache
def shipped() -> Mapping[str, object]:
    """The shipped defaults; plain TOML, so that reading them does not need dynaconf."""
    try:
        folder = resources("fastapi_jobs.settings")
    except ModuleNotFoundError:  # a checkout that stands before what is installed
        folder = Path(__file__).parents[2] / "settings"
    text = folder.joinpath(DEFAULTS).read_text("utf-8")
    table: Mapping[str, object] = tomllib.loads(text)["default"][OURS]
    return table


def _chosen(settings: str | Path | None) -> Chosen | None:
    if settings is not None:
        return Chosen(str(settings), f"FastAPIJobs({str(settings)!r})")
    named = os.environ.get(MODULE, "").strip()
    return Chosen(named, f"variable {MODULE}") if named else None


def _check_environment(merged: Merged, environment: str, files: Files) -> None:
    there = {name for file in files.found for name in file.tables} - {"default", "global"}
    if environment in there.union(ALWAYS_THERE) or files.problems:
        return
    names = sorted(there.union(ALWAYS_THERE))
    if files.found:
        rule = f"there is no table for it in {' or '.join(file.label for file in files.found)}; "
        cure = did_you_mean(environment, names) or f"Add [{environment}.{OURS}]."
    else:
        rule = "there is no settings.toml here or above that has a table for it; "
        cure = f"Write one with [{environment}.{OURS}], or name it in {MODULE}."
    rule += f"known environments are {', '.join(names)}."
    problem = SettingsProblem(
        "environment", f"variable {ENVIRONMENT}", shown(environment), rule, cure
    )
    merged.problems.append(problem)


def _add_keywords(merged: Merged, caller: str, overrides: Mapping[str, object]) -> None:
    for key, value in overrides.items():
        merged.add(Layer(f"{caller}({key}=…)", Path.cwd(), {key: value}, caller))


def _checked(merged: Merged, environment: str, files: Iterable[Path]) -> Settings:
    bad: dict[KeyPath, ErrorDetails] = {}
    try:
        settings = Settings.model_validate(merged.values)
    except ValidationError as error:
        bad = {_path(details["loc"]): details for details in error.errors(include_url=False)}
        merged.problems += [_problem(merged, path, details) for path, details in bad.items()]
        settings = _mended(merged, bad)
    merged.problems += _clash_problems(merged, settings, bad)
    if merged.problems:
        raise SettingsError(merged.problems)
    origins = {dotted(path): _origin(merged, path) for path, _ in leaves(settings)}
    return remember(settings, environment, files, origins)


def _origin(merged: Merged, path: KeyPath) -> str:
    if path[:2] == ("celery", "options"):
        path = path[:3]  # an option may be a table, which is given whole
    return merged.origins.get(path, DEFAULTS)


def _path(loc: tuple[int | str, ...]) -> KeyPath:
    return tuple(str(part) for part in loc if part != "[key]")


def _problem(merged: Merged, path: KeyPath, details: ErrorDetails) -> SettingsProblem:
    broken = details.get("ctx", {}).get("error")
    rule, cure = details["msg"], ""
    if isinstance(broken, RuleBroken):
        rule, cure = broken.rule, broken.cure
    origin = next((merged.origins[key] for key in _upwards(path) if key in merged.origins), "?")
    return SettingsProblem(dotted(path), origin, shown(details["input"]), rule, cure)


def _upwards(path: KeyPath) -> list[KeyPath]:
    return [path[:end] for end in range(len(path), 0, -1)]


def _mended(merged: Merged, bad: Iterable[KeyPath]) -> Settings:
    """The settings with shipped values for the `bad` keys, so that the rest can be judged too."""
    mended = Merged()
    mended.add(Layer(DEFAULTS, Path.cwd(), shipped(), DEFAULTS))
    dropped = set(bad)
    for path, origin in merged.origins.items():
        if not dropped.intersection(_upwards(path)):
            value = merged.take(path)
            mended.put(path, {} if isinstance(value, dict) else value, origin)
    return Settings.model_validate(mended.values)


def _clash_problems(
    merged: Merged, settings: Settings, bad: Collection[KeyPath]
) -> Iterator[SettingsProblem]:
    unsure = set(map(dotted, bad))
    for clash in clashes(settings):
        if unsure.isdisjoint((*clash.keys, dotted(clash.blame))):
            origin = merged.origins.get(clash.blame, DEFAULTS)
            value = "" if clash.value is None else shown(clash.value)
            yield SettingsProblem(clash.keys[0], origin, value, clash.rule, clash.cure)
