"""The settings of this process, loaded when first looked at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fastapi_jobs.conf.load import change, load
from fastapi_jobs.conf.model import Settings

_overridden: ContextVar[Settings | None] = ContextVar("fastapi_jobs_settings", default=None)


class LazySettings:
    """Stands for the process's Settings: has all their attributes, and loads them on first use."""

    def __init__(self) -> None:
        self._loaded: Settings | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # copy, pickle and inspect ask; that must not load anything
        return getattr(self.current(), name)

    def __repr__(self) -> str:
        settings = _overridden.get() or self._loaded
        return repr(settings) if settings is not None else "<settings, not loaded yet>"

    def current(self) -> Settings:
        """The Settings in force here: those of the innermost `override`, else the process's.

        Raises SettingsError when they are loaded now and cannot be used.
        """
        overridden = _overridden.get()
        if overridden is not None:
            return overridden
        with self._lock:
            if self._loaded is None:
                self._loaded = load()
            return self._loaded

    def configure(self, settings: Settings | None) -> None:
        """Make these the process's settings; None forgets them, the next use loads anew."""
        with self._lock:
            self._loaded = settings

    @contextmanager
    def override(self, **changes: object) -> Iterator[Settings]:
        """For tests: other values within the block, in this context (task or thread) only."""
        token = _overridden.set(change(self.current(), "override", changes))
        try:
            yield self.current()
        finally:
            _overridden.reset(token)


settings = LazySettings()
"""The settings of this process: `settings.backend`, and so on."""
