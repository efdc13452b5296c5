"""Who is asking, and what that means for jobs: a demo of the hooks, with names for a login.

Anybody may be anybody here. A real shop has a login; the three hooks at the end stay the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from fastapi_jobs import Action, Job, Scope

COOKIE = "shop_name"
GUEST, STAFF = "guest", "staff"
PEOPLE: Mapping[str, str] = {GUEST: "a guest", "ada": "Ada", "ben": "Ben", STAFF: "the staff"}
"""Who may sign in, and how the pages call them."""

FOR_STAFF = frozenset(
    {
        Action.ALL_TASKS,
        Action.QUEUES,
        Action.PAUSE,
        Action.RESUME,
        Action.WORKERS,
        Action.HEALTH,
    }
)


def who(request: Request) -> str:
    """The name in the cookie; a guest without one that we know."""
    name = request.cookies.get(COOKIE, GUEST)
    return name if name in PEOPLE else GUEST


Owner = Annotated[str, Depends(who)]


def owner(request: Request) -> str:
    """Whom a job belongs to that was enqueued at the API of the jobs."""
    return who(request)


def scope(request: Request) -> Scope:
    """Everybody sees the jobs of their own, the staff sees all."""
    name = who(request)
    return Scope.all() if name == STAFF else Scope.owner(name)


def permission(request: Request, action: Action, job: Job[Any] | None) -> bool:
    """Only from this machine, since nobody has a password; queues and workers are for the staff."""
    here = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    return here and (who(request) == STAFF or action not in FOR_STAFF)
