"""Whether a stored job is the one that a test wants, and in what it differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from fastapi_jobs.enqueueing import key_digest
from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.options import checked_moment
from fastapi_jobs.registry import TaskDefinition
from fastapi_jobs.testing.values import EnqueuedJob, value_text
from fastapi_jobs.using import Moment, Using

ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument or option that is not as wanted."""

    name: str
    found: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.name}: {self.found}, not {self.wanted}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task, and those of its arguments and options that a test cares about."""

    definition: TaskDefinition
    arguments: Mapping[str, object]
    using: Using

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value_text(each)}" for name, each in self.arguments.items())
        chosen = ", ".join(f"{name}={value!r}" for name, value in options_of(self.using).items())
        call = f"{self.definition.name.rpartition('.')[2]}({given or '…'})"
        return f"{call}.using({chosen})" if chosen else call

    @property
    def is_any(self) -> bool:
        """Whether any job of the task will do."""
        return not self.arguments and not options_of(self.using)

    def differences(self, job: EnqueuedJob[Any]) -> list[Difference]:
        """Every argument and option in which `job` is not as wanted; none if it is the one."""
        found = []
        for name, wanted in self.arguments.items():
            got = job.arguments.get(name, ABSENT)
            if isinstance(wanted, Mapping) and name == self.definition.arguments.extra:
                found += _different_extras(wanted, got)
            elif not _equal(wanted, got):
                found.append(Difference(name, value_text(got), value_text(wanted)))
        for option, value in options_of(self.using).items():
            difference = _OPTIONS[option](option, value, job)
            if difference is not None:
                found.append(difference)
        return found


def options_of(using: Using) -> dict[str, Any]:
    """What `using(...)` was given, under the names that it was given by.

    Raises:
        InvalidOption: `session`, which says nothing of a job that is stored.
    """
    if using.session is not None:
        rule = "it says where a job is stored, not how. Leave it out, and commit before you look."
        raise InvalidOption("session", using.session, rule)
    metadata = None if using.meta is None else from_json(using.meta)
    given = {
        "queue": using.queue,
        "priority": using.priority,
        "run_after": using.run_after,
        "expires": using.expires,
        "backend": using.backend,
        "unique_key": using.unique_key,
        "owner": using.owner,
        "tags": list(using.tags) or None,
        "metadata": metadata,
    }
    return {name: value for name, value in given.items() if value is not None}


def _equal(wanted: object, got: object) -> bool:
    return bool(wanted == got)


def _different_extras(wanted: Mapping[str, Any], got: Any) -> list[Difference]:
    return [
        Difference(name, value_text(got[name]) if name in got else "not given", value_text(value))
        for name, value in wanted.items()
        if name not in got or not _equal(value, got[name])
    ]


Compare = Callable[[str, Any, EnqueuedJob[Any]], Difference | None]


def _plain(of: Callable[[EnqueuedJob[Any]], Any]) -> Compare:
    def compare(option: str, wanted: Any, job: EnqueuedJob[Any]) -> Difference | None:
        got = of(job)
        return None if _equal(wanted, got) else Difference(option, repr(got), repr(wanted))

    return compare


def _moment(of: Callable[[EnqueuedJob[Any]], datetime | None]) -> Compare:
    def compare(option: str, wanted: Moment, job: EnqueuedJob[Any]) -> Difference | None:
        # Seconds count from the enqueue, whenever the test looks.
        created = job.job.created_at
        moment, got = checked_moment(option, wanted, created), of(job)
        at_once = option == "run_after" and moment <= created
        if got == moment or (got is None and at_once):
            return None
        found = f"at {_NEVER[option]}" if got is None else _time_text(got, created)
        return Difference(option, found, _time_text(moment, created))

    return compare


_NEVER = {"run_after": "once", "expires": "no time"}


def _time_text(moment: datetime, created: datetime) -> str:
    seconds = (moment - created).total_seconds()
    return f"{moment.isoformat()} ({seconds:,g} s from the enqueue)"


def _unique_key(option: str, wanted: str, job: EnqueuedJob[Any]) -> Difference | None:
    if job.unique_digest == key_digest(job.job.task, wanted):
        return None
    found = "none" if job.unique_digest is None else "another key"
    return Difference(option, found, repr(wanted))


def _tags(option: str, wanted: Sequence[str], job: EnqueuedJob[Any]) -> Difference | None:
    has_all = set(wanted) <= set(job.job.tags)
    return None if has_all else Difference(option, repr(list(job.job.tags)), repr(list(wanted)))


def _metadata(option: str, wanted: Mapping[str, Any], job: EnqueuedJob[Any]) -> Difference | None:
    got = dict(job.job.metadata)
    if all(name in got and got[name] == value for name, value in wanted.items()):
        return None
    return Difference(option, repr(got), repr(dict(wanted)))


_OPTIONS: Mapping[str, Compare] = {
    "queue": _plain(lambda job: job.job.queue),
    "priority": _plain(lambda job: job.job.priority),
    "run_after": _moment(lambda job: job.job.run_after),
    "expires": _moment(lambda job: job.expires_at),
    "backend": _plain(lambda job: job.backend),
    "unique_key": _unique_key,
    "owner": _plain(lambda job: job.job.owner),
    "tags": _tags,
    "metadata": _metadata,
}
