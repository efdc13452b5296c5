"""Short walks along an index: the ids of the jobs that one condition of a filter allows.

Each condition has an index that keeps its jobs in the order of creation. One of them leads; the
others are asked of each row that it finds, so that whoever walks says how many rows to look at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    bindparam,
    case,
    literal_column,
    select,
    true,
    union_all,
)

from fastapi_jobs.clock import first_uuid7
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store.tables import (
    has_status,
    is_kept_as,
    is_listed_as,
    jobs,
    running,
    tags,
)


@dataclass(frozen=True, slots=True)
class Walk:
    """The form of a walk. It holds no value, so that its statements are built once and kept."""

    dialect: str
    names: tuple[str, ...]
    """Which of `LEADS` the filter names."""
    statuses: tuple[JobStatus, ...]
    """Empty: all."""
    bounds: frozenset[str]
    """Of `low` (from this id on), `after` (beyond it) and `high` (before it)."""
    newest: bool
    """Newest first."""

    @property
    def leads(self) -> tuple[str, ...]:
        """The conditions that have an index, the one that mostly has the fewest jobs first."""
        # The indexes of owner, task and queue know the status too.
        alone = not self.names or (self.names == ("tag",) and self.statuses)
        return (*self.names, "statuses") if alone else self.names

    def rest(self, lead: str) -> list[ColumnElement[bool]]:
        """The conditions that are not met by all that `lead` finds."""
        found: list[ColumnElement[bool]] = []
        for name in self.names:
            if name == "tag" and lead != "tag":
                tagged = select(tags.c.tag).where(_TAGGED, tags.c.job_id == jobs.c.id)
                found.append(tagged.scalar_subquery().is_not(None))
            elif name != lead:
                # Joined with an empty text it tempts no planner to walk this column's index.
                found.append(jobs.c[name].concat(literal_column("''")) == bindparam(name))
        if self.statuses and lead == "tag":
            # Inside a CASE the status tempts no planner to an index of the few that have it.
            meets = case((has_status(*self.statuses), literal_column("1")))
            found.append(meets == literal_column("1"))
        return found

    def found(
        self, lead: str, ids: Subquery | CTE, columns: Sequence[ColumnElement[Any]]
    ) -> Select[Any]:
        """Of the jobs that `lead` found, those that meet the rest: each is looked up by its id."""
        job = select(*columns).where(jobs.c.id == ids.c.id, *self.rest(lead))
        if self.dialect == "sqlite":
            return job
        # PostgreSQL takes a bound limit for a tenth of all that it limits. For so many ids it
        # rather goes over all jobs, from the first one on. Across an offset it plans no join.
        one = job.offset(literal_column("0")).lateral("job")
        return select(*one.c).join_from(ids, one, true())

    def ids(self, lead: str) -> Select[tuple[UUID]]:
        """The first `scan` ids that `lead` finds: one walk for each status, merged."""
        walks = [self._part(walk) for walk in self._walks(lead)]
        if len(walks) == 1:
            return walks[0]
        merged = union_all(*(select(each.subquery().c.id) for each in walks)).subquery()
        order = self.order(merged.c.id)
        return select(merged.c.id).order_by(order).limit(SCAN)

    def order(self, ids: ColumnElement[UUID]) -> ColumnElement[UUID]:
        """The order of creation, this way or that."""
        return ids.desc() if self.newest else ids.asc()

    def _part(self, walk: Select[tuple[UUID]]) -> Select[tuple[UUID]]:
        [ids] = walk.selected_columns
        if "low" in self.bounds:
            walk = walk.where(ids >= bindparam("low"))
        if "after" in self.bounds:
            walk = walk.where(ids > bindparam("after"))
        if "high" in self.bounds:
            walk = walk.where(ids < bindparam("high"))
        return walk.order_by(self.order(ids)).limit(SCAN)

    def _walks(self, lead: str) -> Iterator[Select[tuple[UUID]]]:
        if lead == "tag":
            yield select(tags.c.job_id.label("id")).where(_TAGGED)
            return
        if lead == "statuses" and not self.statuses:
            yield select(jobs.c.id)
            return
        fixed = [] if lead == "statuses" else [jobs.c[lead] == bindparam(lead)]
        for status in self.statuses or JobStatus:
            if status is JobStatus.RUNNING:
                yield select(running(jobs.c.id, *fixed).c.id)
            else:
                by_status = is_listed_as if lead == "statuses" else is_kept_as
                yield select(jobs.c.id).where(*fixed, by_status(status))


LEADS = ("tag", "owner", "task", "queue")
SCAN = bindparam("scan", type_=Integer)
_TAGGED = tags.c.tag == bindparam("tag")


def walk_of(
    dialect: str, which: JobFilter, *, newest: bool = True, after: UUID | None = None
) -> tuple[Walk, dict[str, Any]]:
    """The form of a walk and its values. `after` leaves out all up to that job.

    There is one bound at the most on each side: of two, SQLite walks from one and compares every
    row with the other.
    """
    low = None if which.created_after is None else first_uuid7(which.created_after)
    high = None if which.created_before is None else first_uuid7(which.created_before)
    if after is not None and newest:
        high = after if high is None else min(high, after)
        after = None
    elif after is not None and low is not None:
        low, after = (None, after) if after >= low else (low, None)
    bounds = {"low": low, "high": high, "after": after}
    given = {name: value for name, value in bounds.items() if value is not None}
    named = {name: value for name in LEADS if (value := getattr(which, name)) is not None}
    statuses = tuple(each for each in JobStatus if each in which.statuses)
    all_of_them = len(statuses) == len(JobStatus)
    kept = () if all_of_them else statuses
    walk = Walk(dialect, tuple(named), kept, frozenset(given), newest)
    return walk, given | named
