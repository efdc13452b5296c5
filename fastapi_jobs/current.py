"""Which FastAPIJobs is meant: the one of this request or attempt, else the only one."""

import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token

from fastapi_jobs.errors import NoCurrentApp
from fastapi_jobs.runtime import Runtime

Chosen = tuple["weakref.ref[Runtime]", ...]

_runtimes: "list[weakref.ref[Runtime]]" = []
_chosen: ContextVar[Chosen] = ContextVar("fastapi_jobs_runtime", default=())
"""The latest first: when it is closed, the one before it is meant again."""

_listeners: list[Callable[[Runtime], None]] = []
_preferred: "weakref.ref[Runtime] | None" = None


def announce(runtime: Runtime) -> None:
    """A new FastAPIJobs exists."""
    _runtimes.append(weakref.ref(runtime, _runtimes.remove))
    for listener in list(_listeners):
        listener(runtime)


def listen(listener: Callable[[Runtime], None]) -> Callable[[], None]:
    """Call `listener` with each new FastAPIJobs' runtime; returns the undo."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def runtimes() -> list[Runtime]:
    """Every FastAPIJobs' runtime of this process that somebody holds, closed ones too."""
    known = [each() for each in _runtimes]
    return [each for each in known if each is not None]


def prefer(runtime: Runtime | None) -> None:
    """Where none is chosen, mean this one; for tests. None: only if it is the only one."""
    global _preferred
    _preferred = None if runtime is None else weakref.ref(runtime)


def choose(runtime: Runtime) -> Token[Chosen]:
    """Make `runtime` the current one of this context, until it is closed."""
    earlier = [each for each in _chosen.get() if _is_open(each()) and each() is not runtime]
    return _chosen.set((weakref.ref(runtime), *earlier))


def _is_open(runtime: Runtime | None) -> bool:
    return runtime is not None and not runtime.is_closed


def unchoose(token: Token[Chosen]) -> None:
    """Undo `choose`."""
    _chosen.reset(token)


def current_runtime() -> Runtime:
    """The current FastAPIJobs' runtime.

    Raises:
        NoCurrentApp: there is none, or there are several and none is chosen.
    """
    closed = None
    preferred: Chosen = () if _preferred is None else (_preferred,)
    for reference in _chosen.get() + preferred:
        runtime = reference()
        if runtime is not None and not runtime.is_closed:
            return runtime
        closed = closed or runtime
    alive = [each for each in runtimes() if not each.is_closed]
    if len(alive) == 1:
        return alive[0]
    if closed is not None and not alive:
        return closed  # it opens again, without running anything
    raise NoCurrentApp(sorted(each.name for each in alive))
