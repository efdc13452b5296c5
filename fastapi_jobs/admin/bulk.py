"""One change of many jobs, as the list of jobs asks for it: of the chosen ones, or of all that
match its filters.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi_jobs.admin.asking import Asked, Given, read_asked, written
from fastapi_jobs.api.many import MOST, BulkAction
from fastapi_jobs.clock import utc_now
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.status import JobAction, JobStatus, legal_actions
from fastapi_jobs.store import queries
from fastapi_jobs.store.many import Changed
from fastapi_jobs.store.store import Store

DONE = {
    BulkAction.CANCEL: "cancelled",
    BulkAction.RETRY: "made to run again",
    BulkAction.DELETE: "deleted",
}


class Nonsense(Exception):
    """A change that is not carried out: half of what it names makes no sense."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to happen, and to which jobs."""

    action: BulkAction
    ids: tuple[UUID, ...]
    """The chosen ones; empty: all that match."""
    asked: Asked
    limit: int

    @property
    def legal(self) -> JobFilter | None:
        """Those of all that match whose status allows the change, up to the question."""
        which, until = self.asked.which, self.asked.until
        if until is not None and (which.created_before is None or until < which.created_before):
            which = replace(which, created_before=until)
        return which.legal_for(JobAction(self.action))

    def bounded(self) -> "Wish":
        """The same, without jobs that come in from now on."""
        if self.asked.until is not None:
            return self
        return replace(self, asked=replace(self.asked, until=utc_now()))

    @property
    def query(self) -> dict[str, Any]:
        """What an address or a form says to mean this, but for the chosen ones and the cursor."""
        every = {} if self.ids else {"all": "1"}
        until = {} if self.asked.until is None else {"until": written(self.asked.until)}
        return {**self.asked.query, "action": self.action.value, **every, **until}


@dataclass(frozen=True, slots=True)
class Counted:
    """How many jobs a change concerns."""

    number: int
    is_exact: bool = True
    """False: so many at least."""
    refused: int = 0
    """Chosen ones that are gone, or whose status forbids it."""

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_exact else f"more than {self.number:,}"


def read_wish(given: Given) -> Wish:
    """The change that an address or a form asks for.

    Raises:
        Nonsense: a part of it has no meaning. Left out, it would mean more jobs than were meant.
    """
    try:
        action = BulkAction(str(given.get("action", "")))
    except ValueError:
        raise Nonsense("Say what is to happen: cancel, retry or delete.") from None
    asked = read_asked(given)
    if asked.notices:
        raise Nonsense(" ".join([*asked.notices, "So nothing was changed."]))
    try:
        ids = tuple(dict.fromkeys(UUID(str(each)) for each in given.getlist("id")))
    except ValueError:
        raise Nonsense("One of the chosen jobs has no job's id. Nothing was changed.") from None
    if not ids and given.get("all") != "1":
        raise Nonsense("Choose jobs first, by the boxes in front of them.")
    if len(ids) > MOST:
        raise Nonsense(f"Choose {MOST:,} jobs at most, or filter them and take all that match.")
    return Wish(action, ids, asked, _limit(str(given.get("limit", ""))))


def _limit(text: str) -> int:
    return min(max(int(text), 1), MOST) if text.isascii() and text.isdigit() else MOST


async def count_wish(store: Store, wish: Wish) -> Counted:
    """How many jobs it concerns, by their statuses now."""
    if wish.ids:
        statuses = await store.read(queries.get_status, wish.ids)
        legal = [each for each in statuses.values() if _allows(each, wish.action)]
        return Counted(len(legal), refused=len(wish.ids) - len(legal))
    which = wish.legal
    if which is None:
        return Counted(0)
    number, is_exact = await store.read(queries.count_all, which, wish.asked.after)
    return Counted(number, is_exact)


def _allows(status: JobStatus, action: BulkAction) -> bool:
    return JobAction(action) in legal_actions(status)


def told(action: BulkAction, changed: Changed) -> str:
    """What became of the jobs, for a person."""
    parts = [f"{_jobs(changed.done)} {DONE[action]}."]
    if changed.asked:
        parts.append(f"{changed.asked:,} running: asked to stop.")
    if changed.refused:
        why = "their status, a unique key or your permission forbids it"
        parts.append(f"{changed.refused:,} left as they are: {why}.")
    return " ".join(parts)


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"
