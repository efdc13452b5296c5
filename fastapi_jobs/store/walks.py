"""Short walks along an index: the ids of the jobs that one condition of a filter allows.

Each condition has an index that keeps its jobs in the order of creation. One of them leads; the
others are asked of each row that it finds, so that whoever walks says how many rows to look at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    Subquery,
    bindparam,
    case,
    func,
    literal_column,
    or_,
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
    others: tuple[str, ...]
    """Which of `worker`, `text`, `escaped` and `searched` it names: what no index finds, but the
    running jobs of a worker."""
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
        if "worker" in self.others and (lead == "tag" or self.statuses != (JobStatus.RUNNING,)):
            found.append(_OF_WORKER)
        if "text" in self.others:
            found.append(or_(*(self._contains(each) for each in self.others if each in _TEXTS)))
        if "searched" in self.others:
            found.append(jobs.c.task.concat(literal_column("''")).in_(_SEARCHED))
        if self.statuses and lead == "tag":
            # Inside a CASE the status tempts no planner to an index of the few that have it.
            meets = case((has_status(*self.statuses), literal_column("1")))
            found.append(meets == literal_column("1"))
        return found

    def _contains(self, text: str) -> ColumnElement[bool]:
        # LIKE would ignore the case on SQLite.
        find = func.instr if self.dialect == "sqlite" else func.strpos
        begin = func.substr(jobs.c.args, literal_column("1"), literal_column(str(TEXT_DEPTH)))
        return find(begin, bindparam(text, type_=String)) > literal_column("0")

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
        of_worker = [_OF_WORKER] if "worker" in self.others else []
        for status in self.statuses or JobStatus:
            if status is JobStatus.RUNNING:
                yield select(running(jobs.c.id, *fixed, *of_worker).c.id)
            else:
                by_status = is_listed_as if lead == "statuses" else is_kept_as
                yield select(jobs.c.id).where(*fixed, by_status(status))


LEADS = ("tag", "owner", "task", "queue")
SCAN = bindparam("scan", type_=Integer)
TEXT_DEPTH = 10_000
"""Of a job's arguments so many characters are searched."""

_TEXTS = ("text", "escaped")
_SEARCHED: BindParameter[str] = bindparam("searched", expanding=True)
_OF_WORKER = jobs.c.worker_id == bindparam("worker")
_TAGGED = tags.c.tag == bindparam("tag")


def walk_of(
    dialect: str,
    which: JobFilter,
    *,
    newest: bool = True,
    after: UUID | None = None,
    oldest: UUID | None = None,
) -> tuple[Walk, dict[str, Any]]:
    """The form of a walk and its values. `after` leaves out all up to that job, `oldest` those that
    were made before that one.

    There is one bound at the most on each side: of two, SQLite walks from one and compares every
    row with the other.
    """
    low, high = _span(which)
    if oldest is not None:
        low = oldest if low is None else max(low, oldest)
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
    others = _others(which)
    walk = Walk(dialect, tuple(named), tuple(others), kept, frozenset(given), newest)
    return walk, given | named | others


def _span(which: JobFilter) -> tuple[UUID | None, UUID | None]:
    """The id from which on, and that before which the jobs are."""
    lows, highs = [], []
    if which.created_after is not None:
        lows.append(first_uuid7(which.created_after))
    if which.created_before is not None:
        highs.append(first_uuid7(which.created_before))
    if which.id_prefix is not None:
        lows.append(UUID(which.id_prefix.ljust(32, "0")))
        highs.append(_after(UUID(which.id_prefix.ljust(32, "f"))))
    return max(lows, default=None), min(highs, default=None)


def _after(job_id: UUID) -> UUID:
    return UUID(int=min(job_id.int + 1, _LAST))


_LAST = (1 << 128) - 1


def _others(which: JobFilter) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if which.worker is not None:
        found["worker"] = which.worker
    if which.text is not None:
        found["text"] = which.text
        escaped = to_json(which.text).decode()[1:-1]
        if escaped != which.text:
            found["escaped"] = escaped
        if which.searched is not None:
            found["searched"] = list(which.searched)
    return found
