"""Which backends a process runs, and how they are made from the settings."""

from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from typing import Any

from fastapi_jobs.backends.base import Backend
from fastapi_jobs.backends.event_loop import AsyncioBackend, ImmediateBackend
from fastapi_jobs.backends.process import ProcessBackend
from fastapi_jobs.backends.thread import ThreadBackend
from fastapi_jobs.conf import Settings, to_json
from fastapi_jobs.errors import SettingsError, SettingsProblem

CELERY = "celery"

CUSTOM_SLOTS = 10
"""Jobs that a backend of your own runs at a time, unless its class says otherwise."""


def make_backends(settings: Settings, wanted: Iterable[str]) -> dict[str, Backend]:
    """The backends of these names.

    Raises:
        SettingsError: one of them cannot be loaded.
    """
    return {name: _make(settings, name) for name in dict.fromkeys(wanted)}


def backends_of(settings: Settings, declared: Collection[str | None]) -> list[str]:
    """Every backend this process should run: ours, and those the settings or tasks name.

    Celery's jobs run in its own workers.
    """
    named = {settings.backend, *(queue.backend for queue in settings.queues.values()), *declared}
    own = sorted(name for name in named if name and name not in (*_OURS, CELERY))
    ours = [name for name in _OURS if name != "immediate" or settings.backend == "immediate"]
    return [*ours, *own]


def _make(settings: Settings, name: str) -> Backend:
    maker = _OURS.get(name)
    if maker is not None:
        return maker(settings)
    if name == CELERY:
        raise _unusable(settings, name, "its jobs run in Celery's workers: fastapi-jobs worker.")
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        kind: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise _unusable(settings, name, f"it cannot be imported: {error}.") from error
    if not (isinstance(kind, type) and issubclass(kind, Backend)):
        raise _unusable(
            settings, name, "it is not a subclass of fastapi_jobs.backends.base.Backend."
        )
    backend = kind(getattr(kind, "slots_wanted", CUSTOM_SLOTS))
    # Claims and slots are kept under the name that the settings use.
    backend.name = name  # type: ignore[misc]
    return backend


def _unusable(settings: Settings, name: str, why: str) -> SettingsError:
    origin = settings.origins.get("backend", "settings")
    return SettingsError([SettingsProblem("backend", origin, repr(name), why)])


def _process(settings: Settings) -> Backend:
    process = settings.process
    return ProcessBackend(
        process.max_workers,
        settings_json=to_json(settings),
        kill_grace=process.kill_grace_seconds,
        max_jobs_per_child=process.max_jobs_per_child,
        max_memory_mb=process.max_memory_mb,
        modules=settings.task_modules,
    )


_OURS: Mapping[str, Callable[[Settings], Backend]] = {
    "asyncio": lambda settings: AsyncioBackend(settings.asyncio.max_running),
    "thread": lambda settings: ThreadBackend(settings.thread.max_workers),
    "process": _process,
    "immediate": lambda settings: ImmediateBackend(settings.asyncio.max_running),
}
