"""Every FastAPIJobs of the process works on a fresh store, and runs nothing, while a test lasts."""

import gc
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi_jobs import current
from fastapi_jobs.conf import load
from fastapi_jobs.conf.load import change
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.testing.errors import SeveralApps, TooLate

RECORDING = "asyncio"
"""The backend that every job names in `manual` mode. Nobody dispatches, so none runs."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One FastAPIJobs that was taken over."""

    runtime: Runtime
    rank: int
    """0: made during this test; 1: made before it; 2: our own, which stands in for an app; 3: made
    before it, and shut down. A test means those of the lowest rank, unless it touched others."""


class Takeover:
    """Takes over what exists, and each FastAPIJobs that is made until `end`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, dict(settings)
        self._stack = ExitStack()
        self._taken: list[Taken] = []
        self._stand_in: Runtime | None = None
        self._chosen: Runtime | None = None
        self._too_late: Runtime | None = None
        self._only_backend = RECORDING

    def begin(self) -> None:
        """Take over what is there; a FastAPIJobs of our own stands in when nothing is, or only apps
        of earlier tests that nobody can tell apart: FastAPI's caches keep them alive.

        Raises:
            TooLate: the only one is at work already.
            SettingsError: the settings of the test, or of its project, cannot be used.
        """
        if len(current.runtimes()) > 1:
            gc.collect()  # apps of earlier tests
        try:
            for runtime in current.runtimes():
                if runtime.loop is None:
                    self._take(runtime, rank=3 if runtime.is_closed else 1)
                else:
                    self._too_late = runtime
            if not self._taken and self._too_late is not None:
                raise TooLate(self._too_late.name, self._too_late.store.database.name)
            if len(self._taken) != 1 and all(each.rank == 3 for each in self._taken):
                self._stand_in = Runtime(load(None), dispatch=False)
                current.announce(self._stand_in)
                self._take(self._stand_in, rank=2)
            self._stack.callback(current.listen(lambda made: self._take(made, rank=0)))
            self._stack.callback(current.prefer, None)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Give everything back as it was."""
        self._stack.close()
        if self._stand_in is not None:
            self._stand_in.is_closed = True
        self._taken.clear()
        self._stand_in = self._chosen = None

    def use(self, runtime: Runtime) -> None:
        """Of several, mean this one.

        Raises:
            TooLate: it was started before the test.
        """
        if runtime not in self.runtimes:
            raise TooLate(runtime.name, runtime.store.database.name)
        self._chosen = runtime
        self._prefer()

    def run_everything_on(self, backend: str) -> None:
        """From now on every job runs on this backend."""
        self._only_backend = backend
        for runtime in self.runtimes:
            runtime.only_backend = backend

    @property
    def runtimes(self) -> list[Runtime]:
        """All that were taken over."""
        return [each.runtime for each in self._taken]

    @property
    def meant(self) -> Runtime:
        """The one that the test is about: chosen, the only one it has touched, or the only one.

        Raises:
            SeveralApps
        """
        if self._chosen is not None:
            return self._chosen
        candidates = self._candidates()
        if len(candidates) > 1:
            raise SeveralApps(sorted(each.name for each in candidates))
        return candidates[0]

    def _candidates(self) -> list[Runtime]:
        touched = [each for each in self.runtimes if each.has_opened]
        if touched:
            return touched
        first = min(each.rank for each in self._taken)
        return [each.runtime for each in self._taken if each.rank == first]

    def _take(self, runtime: Runtime, *, rank: int) -> None:
        name = "".join(letter if letter.isalnum() else "-" for letter in runtime.name)
        file = self._folder / f"{name}-{len(self._taken)}.db"
        fresh = {"database_url": f"sqlite:///{file}", "durability": "normal", "migrate": True}
        fresh["freeze_heap"] = False  # it would keep the app of the first test that starts one
        fresh["gc_threshold"] = 0  # the collector is the whole test run's
        settings = change(runtime.settings, "jobs_test_settings", fresh | self._settings)
        self._stack.enter_context(runtime.replaced(settings))
        runtime.only_backend = self._only_backend
        self._taken.append(Taken(runtime, rank))
        self._prefer()

    def _prefer(self) -> None:
        candidates = [self._chosen] if self._chosen is not None else self._candidates()
        current.prefer(candidates[0] if len(candidates) == 1 else None)
