"""What Celery is told beside our settings: by `celery.options`, and by variables that it reads."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastapi_jobs.checks.findings import Finding, error, note, warning
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.urls import hide_password

BROKERS = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
RESULTS = "CELERY_RESULT_BACKEND"


def judge_celery_options(
    settings: Settings, variables: Mapping[str, str], timeouts: Collection[float]
) -> Iterator[Finding]:
    """`timeouts` are those of the tasks that run on Celery."""
    yield from _judge_brokers(settings, variables)
    yield from _judge_results(settings, variables)
    yield from _judge_visibility(settings, timeouts)


def judge_unknown_options(unknown: Collection[str]) -> Iterator[Finding]:
    """Each of `unknown` is a name, and what may be meant."""
    for each in unknown:
        yield error("celery-options", f"celery.options: Celery has no setting {each}")


def _judge_brokers(settings: Settings, variables: Mapping[str, str]) -> Iterator[Finding]:
    ours = settings.celery.broker_url
    for name in BROKERS:
        theirs = variables.get(name)
        if theirs and theirs != ours:
            yield error(
                "celery-broker",
                f"The variable {name} is set ({hide_password(theirs)}), and Celery takes it "
                f"instead of celery.broker_url ({hide_password(str(ours))}): a process that does "
                "not have it publishes or consumes elsewhere. Remove it.",
            )


def _judge_results(settings: Settings, variables: Mapping[str, str]) -> Iterator[Finding]:
    where: dict[str, Any] = {"celery.options.result_backend": _option(settings, "result_backend")}
    where[f"The variable {RESULTS}"] = variables.get(RESULTS)
    for name, value in where.items():
        if value and not str(value).startswith("disabled"):
            yield warning(
                "celery-results",
                f"{name} switches on a result backend of Celery's ({hide_password(str(value))}). "
                "Nothing of ours goes there: a job's result is in its row. Remove it.",
            )


def _judge_visibility(settings: Settings, timeouts: Collection[float]) -> Iterator[Finding]:
    seconds = _option(settings, "broker_transport_options", "visibility_timeout")
    longest = max([settings.lease_seconds, settings.timeout or 0.0, *timeouts])
    if isinstance(seconds, int | float) and seconds < longest:
        yield warning(
            "visibility-timeout",
            f"celery.options.broker_transport_options.visibility_timeout = {seconds:g} is shorter "
            f"than jobs may run ({longest:g} s, by lease_seconds and timeouts): the broker hands "
            "out their messages again. No job runs twice for it, since its row is claimed once, "
            "but every such message costs a look at the database. Remove it: an hour is usual.",
        )


def _option(settings: Settings, *path: str) -> Any:
    value: Any = settings.celery.options
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def judge_one_machine(settings: Settings) -> Iterator[Finding]:
    """Celery is for many servers, a SQLite file is for one."""
    if not settings.database_url.startswith("sqlite"):
        return
    at_home = settings.environment in ("development", "testing")
    yield (note if at_home else warning)(
        "sqlite-celery",
        "Jobs run on celery and database_url is a SQLite file: every worker has to be on this "
        "machine. One on another would get messages of jobs that its own file does not hold. For "
        "several machines use PostgreSQL.",
    )
