"""The host's settings files: which they are, their tables, and the environment that is active.

Dynaconf reads each file by itself, tokens such as `@format` included. We look for the files and lay
them over each other ourselves: then every value has an origin, lists replace each other instead of
growing, and no file beside the host's is read by surprise.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from fastapi_jobs.conf.shown import shown
from fastapi_jobs.conf.urls import hide_password
from fastapi_jobs.errors import SettingsProblem, did_you_mean

SETTINGS, SECRETS = "settings.toml", ".secrets.toml"
OURS = "fastapi_jobs"
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Chosen:
    """A settings file or module that somebody named, and where."""

    name: str
    origin: str


@dataclass(frozen=True)
class HostFile:
    """A file that was read: our table of each environment, which may be empty."""

    path: Path
    tables: Mapping[str, Mapping[str, object]]
    label: str


@dataclass
class Files:
    """The host's files, the later winning, and what was wrong with them."""

    found: list[HostFile] = field(default_factory=list)
    problems: list[SettingsProblem] = field(default_factory=list)

    def complain(self, origin: str, value: str, rule: str, cure: str = "") -> None:
        """Note that a file cannot be used."""
        self.problems.append(SettingsProblem("settings file", origin, value, rule, cure))


def read_files(chosen: Chosen | None) -> Files:
    """The named file or module and the `.secrets.toml` beside it, or those found from the cwd."""
    files = Files()
    if chosen is None:
        for path in _search(Path.cwd()):
            _read_toml(files, path)
        return files
    path = Path(chosen.name).expanduser()
    if _MODULE.fullmatch(chosen.name) and path.suffix != ".toml" and not path.exists():
        beside = _read_module(files, chosen)
    else:
        beside = _read_named(files, chosen, path.absolute())
    if beside is not None and path.name != SECRETS and (beside / SECRETS).is_file():
        _read_toml(files, beside / SECRETS)
    return files


def label(path: Path) -> str:
    """A file's name where it lies in the working folder, else its whole path."""
    return path.name if path.parent == Path.cwd() else str(path)


def _search(start: Path) -> Iterator[Path]:
    """The nearest settings.toml, and the nearest .secrets.toml that is not further up."""
    folders = [start, *start.parents]
    home = next((folder for folder in folders if (folder / SETTINGS).is_file()), None)
    if home is not None:
        yield home / SETTINGS
        folders = folders[: folders.index(home) + 1]
    secrets = next((folder for folder in folders if (folder / SECRETS).is_file()), None)
    if secrets is not None:
        yield secrets / SECRETS


def _read_named(files: Files, chosen: Chosen, path: Path) -> Path | None:
    if path.is_dir():
        near = path / SETTINGS
        cure = f"Name the file: {near}." if near.exists() else "Name a .toml file."
        files.complain(chosen.origin, shown(chosen.name), "this is a folder.", cure)
    elif not path.exists():
        siblings = [other.name for other in path.parent.glob("*.toml")]
        cure = did_you_mean(path.name, siblings) or "Check the path."
        files.complain(chosen.origin, shown(chosen.name), f"{path} does not exist.", cure)
    elif path.suffix != ".toml":
        cure = "Name a .toml file, or a Python module by its dotted name."
        files.complain(chosen.origin, shown(chosen.name), "this is not a TOML file.", cure)
    else:
        _read_toml(files, path)
        return path.parent
    return None


def _read_toml(files: Files, path: Path) -> None:
    from dynaconf import Dynaconf
    from dynaconf.loaders import toml_loader

    try:
        path.read_text("utf-8")  # dynaconf would only warn of a file that it cannot read
        reader = Dynaconf(settings_files=[], loaders=[], load_dotenv=False, environments=False)
        toml_loader.load(reader, filename=str(path), env="_envless", silent=False)
        _keep(files, path, {name: reader.get(name) for name in list(reader.store)})
    except OSError as error:
        files.complain(label(path), "", f"the file cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        files.complain(label(path), "", "the file is not UTF-8 text.")
    except Exception as error:
        # dynaconf's tokens raise whatever they like: @int with a word, @format with no such name
        files.complain(label(path), "", f"the file is not valid: {hide_password(str(error))}.")


def _read_module(files: Files, chosen: Chosen) -> Path | None:
    try:
        module = import_module(chosen.name)
    except Exception as error:
        cure = "Give the path of a .toml file, or the dotted name of a Python module."
        rule = f"the module cannot be imported: {error}."
        files.complain(chosen.origin, shown(chosen.name), rule, cure)
        return None
    path = Path(module.__file__ or chosen.name).absolute()
    _keep(files, path, {name: value for name, value in vars(module).items() if name.isupper()})
    return path.parent


def _keep(files: Files, path: Path, content: Mapping[str, object]) -> None:
    """Keep our part of each environment's table; the rest of the file is the host's own affair."""
    tables: dict[str, Mapping[str, object]] = {}
    for name, table in content.items():
        environment = name.lower()
        if not isinstance(table, Mapping) or name in _dynaconf_names():
            continue
        if environment == OURS:
            rule = "a table belongs to an environment."
            files.complain(label(path), "", f"[{OURS}]: {rule}", f"Write [default.{OURS}].")
            continue
        ours: Mapping[str, object] = {}
        for key in table:
            if str(key).lower() == OURS:
                ours = _our_table(files, path, environment, table[key])
            elif get_close_matches(str(key).lower(), [OURS], cutoff=0.9):
                where = f"[{environment}.{key}]"
                files.complain(
                    label(path), "", f"{where}: our table is {OURS}.", f"Did you mean {OURS!r}?"
                )
        tables[environment] = ours
    files.found.append(HostFile(path, tables, label(path)))


def _our_table(files: Files, path: Path, environment: str, value: object) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in value}
    files.complain(label(path), "", f"{OURS} in [{environment}] must be a table.")
    return {}


def _dynaconf_names() -> Collection[str]:
    from dynaconf.base import UPPER_DEFAULT_SETTINGS

    return [*UPPER_DEFAULT_SETTINGS]


def plain(value: object) -> object:
    """dynaconf's dicts and lists as plain ones, its lazy values computed."""
    if isinstance(value, Mapping):
        # by key, since only that computes a lazy value of dynaconf's
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
