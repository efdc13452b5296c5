"""The settings as one frozen, typed object; defaults and meaning are in `defaults.toml`."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PrivateAttr,
)

from fastapi_jobs.conf import names, rules
from fastapi_jobs.conf.urls import hide_password

V = TypeVar("V")


def _freeze(mapping: Mapping[str, V]) -> Mapping[str, V]:
    return MappingProxyType(dict(mapping))


Flag = Annotated[bool, BeforeValidator(rules.check_flag)]
Text = Annotated[str, BeforeValidator(rules.check_text)]
Paths = Annotated[tuple[str, ...], BeforeValidator(names.check_paths)]
Prefix = Annotated[str, BeforeValidator(names.check_prefix)]
Kept = Annotated[timedelta | None, BeforeValidator(rules.check_duration)]
Count = Annotated[int, rules.whole(1)]
CountOrNone = Annotated[int | None, rules.whole(1, zero_is=rules.nothing)]
CountOrAutomatic = Annotated[int, rules.whole(1, zero_is=rules.automatic)]
CountOrCores = Annotated[int, rules.whole(1, zero_is=rules.cores)]
Seconds = Annotated[float, rules.seconds()]
SecondsOrZero = Annotated[float, rules.seconds(may_be_zero=True)]
QueueName = Annotated[str, BeforeValidator(names.check_queue_name)]
Pattern = Annotated[str, BeforeValidator(names.check_pattern)]
Pool = Literal["prefork", "threads", "solo"]
POOLS = ("prefork", "threads", "solo")
Role = Literal["viewer", "operator", "admin"]
ROLES = ("viewer", "operator", "admin")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Table(BaseModel):
    """A table of the settings: frozen, knowing its keys, and silent about passwords."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        for key, value in super().__repr_args__():
            yield key, hide_password(value) if isinstance(value, str) else value


class AsyncioSettings(Table):
    """The event loop backend."""

    max_running: Count


class ThreadSettings(Table):
    """The thread backend."""

    max_workers: Count


class ProcessSettings(Table):
    """The process backend; memory in MB, times in seconds."""

    max_workers: CountOrCores
    max_jobs_per_child: CountOrNone
    max_memory_mb: CountOrNone
    kill_grace_seconds: SecondsOrZero


class CelerySettings(Table):
    """The Celery backend."""

    broker_url: Annotated[str | None, names.broker_url()]
    window: CountOrAutomatic
    batch_seconds: SecondsOrZero
    pool: Annotated[Pool, rules.choice(*POOLS)]
    concurrency: CountOrCores
    options: Annotated[Mapping[str, Any], AfterValidator(_freeze), PlainSerializer(dict)]


class RetentionSettings(Table):
    """How long finished jobs and the entries of the audit are kept; None is for ever."""

    succeeded: Kept
    failed: Kept
    cancelled: Kept
    audit: Kept


class AdminUser(Table):
    """Who may log in to the admin site, and what they may do there."""

    password_hash: Annotated[str, BeforeValidator(names.check_password_hash)] = ""
    """Without one the settings are refused, see `clashes`."""
    role: Annotated[Role, rules.choice(*ROLES)] = "viewer"


class AdminSettings(Table):
    """The admin site; users by name."""

    enabled: Flag
    session_seconds: Seconds
    users: Annotated[Mapping[str, AdminUser], AfterValidator(_freeze), PlainSerializer(dict)]


class QueueSettings(Table):
    """One queue; a queue that the settings do not name has these defaults."""

    backend: Annotated[str | None, BeforeValidator(names.check_backend_or_none)] = None
    max_running: CountOrNone = None
    priority: Annotated[int, rules.whole(-100, 100)] = 0
    paused: Flag = False
    pool: Annotated[Pool | None, rules.choice(*POOLS, may_be_none=True)] = None


UNDECLARED = QueueSettings()


class Settings(Table):
    """Every setting, checked and frozen; make one with `fastapi_jobs.conf.load`."""

    name: Text
    backend: Annotated[str, BeforeValidator(names.check_backend)]
    database_url: Annotated[str, BeforeValidator(names.check_database_url)]
    durability: Annotated[Literal["full", "normal"], rules.choice("full", "normal")]
    migrate: Annotated[Literal["auto"] | bool, BeforeValidator(rules.check_migrate)]
    store_timeout: Seconds
    task_modules: Paths
    dispatch: Flag
    freeze_heap: Flag
    gc_threshold: Annotated[int, rules.whole(0)]
    strict_capabilities: Flag
    retries: Annotated[int, rules.whole(0)]
    timeout: Annotated[float | None, rules.seconds(may_be_none=True)]
    on_crash: Annotated[Literal["requeue", "fail"], rules.choice("requeue", "fail")]
    max_crashes: Count
    heartbeat_seconds: Seconds
    lease_seconds: Seconds
    poll_seconds: Seconds
    shutdown_seconds: SecondsOrZero
    max_payload: Count
    max_queued: CountOrNone
    timezone: Annotated[str, BeforeValidator(names.check_timezone)]
    redis_url: Annotated[str | None, names.broker_url("redis", "rediss", "unix")]
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        rules.choice(*LEVELS, fold=str.upper),
    ]
    log_format: Annotated[Literal["text", "json"], rules.choice("text", "json")]
    log_lifecycle: Flag
    log_file: Annotated[Path | None, BeforeValidator(names.check_file)]
    max_log_lines: Annotated[int, rules.whole(0)]
    max_error_bytes: Annotated[int, rules.whole(256)]
    observers: Paths
    api_prefix: Prefix
    api_open: Flag
    api_options: Annotated[tuple[str, ...], BeforeValidator(names.check_api_options)]
    max_wait: SecondsOrZero
    idempotency_ttl: Seconds
    admin_prefix: Prefix
    asyncio: AsyncioSettings
    thread: ThreadSettings
    process: ProcessSettings
    celery: CelerySettings
    retention: RetentionSettings
    admin: AdminSettings
    queues: Annotated[
        Mapping[QueueName, QueueSettings], AfterValidator(_freeze), PlainSerializer(dict)
    ]
    routes: Annotated[Mapping[Pattern, QueueName], AfterValidator(_freeze), PlainSerializer(dict)]

    _environment: str = PrivateAttr(default="development")
    _files: tuple[Path, ...] = PrivateAttr(default=())
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def environment(self) -> str:
        """The environment whose tables were read, such as development or production."""
        return self._environment

    @property
    def files(self) -> tuple[Path, ...]:
        """The host's files that were read, the later winning; the shipped defaults are not here."""
        return self._files

    @property
    def origins(self) -> Mapping[str, str]:
        """For each dotted key, where its value came from."""
        return MappingProxyType(dict(self._origins))

    def queue(self, name: str) -> QueueSettings:
        """The settings of this queue, the defaults when no table declares it."""
        return self.queues.get(name, UNDECLARED)

    def route(self, task_name: str) -> str | None:
        """The queue that `routes` gives this task; an exact name wins, then the longest pattern."""
        if not self.routes:
            return None
        if task_name in self.routes:
            return self.routes[task_name]
        matching = [pattern for pattern in self.routes if fnmatchcase(task_name, pattern)]
        return self.routes[max(matching, key=len)] if matching else None


def remember(
    settings: Settings, environment: str, files: Iterable[Path], origins: Mapping[str, str]
) -> Settings:
    """Note where `settings` came from; for whoever has just made them."""
    settings._environment = environment
    settings._files = tuple(files)
    settings._origins = dict(origins)
    return settings
