"""Who may do what on the admin site: three roles, and the host's permission hook."""

from dataclasses import dataclass

from fastapi_jobs.api.access import Action
from fastapi_jobs.conf.model import ROLES

LOOKS = frozenset(
    {
        *(Action.LIST, Action.READ, Action.TASKS, Action.ALL_TASKS, Action.STATS),
        *(Action.QUEUES, Action.WORKERS, Action.HEALTH),
    }
)
ACTS = LOOKS | {
    *(Action.CREATE, Action.CANCEL, Action.RETRY, Action.EDIT, Action.BULK),
    *(Action.PAUSE, Action.RESUME, Action.AUDIT),
}
EVERYTHING = frozenset(Action)
GRANTS = {"viewer": LOOKS, "operator": ACTS, "admin": EVERYTHING}

assert set(GRANTS) == set(ROLES)


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in."""

    name: str
    role: str

    def may(self, action: Action) -> bool:
        """Whether the role grants it."""
        return action in GRANTS[self.role]
