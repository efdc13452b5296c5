"""Rules that concern more than one key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi_jobs.conf.model import Settings
from fastapi_jobs.conf.shape import KeyPath, dotted


@dataclass(frozen=True)
class Clash:
    """A broken rule between `keys`: change the first; `blame` is the one that demands it."""

    keys: tuple[str, ...]
    blame: KeyPath
    value: object
    rule: str
    cure: str


def clashes(settings: Settings) -> Iterator[Clash]:
    """Every rule between keys that these settings break."""
    least = 2 * settings.heartbeat_seconds
    if settings.lease_seconds < least:
        yield Clash(
            ("lease_seconds", "heartbeat_seconds"),
            ("lease_seconds",),
            settings.lease_seconds,
            f"must be at least twice heartbeat_seconds = {settings.heartbeat_seconds:g}.",
            f"Set lease_seconds = {least:g} or more, or a shorter heartbeat.",
        )
    if settings.api_prefix == settings.admin_prefix:
        yield Clash(
            ("admin_prefix", "api_prefix"),
            ("admin_prefix",),
            settings.admin_prefix,
            "must differ from api_prefix.",
            f'Set admin_prefix = "{settings.api_prefix}-admin".',
        )
    yield from _without_password(settings)
    yield from _without_broker(settings)
    for name, value in settings.celery.options.items():
        if broken := _broken_option(name, value):
            path = ("celery", "options", name)
            yield Clash((dotted(path),), path, value, *broken)


_CELERY_OURS = {
    "broker_url": "Set celery.broker_url.",
    "broker_read_url": "Set celery.broker_url.",
    "broker_write_url": "Set celery.broker_url.",
    "worker_pool": "Set celery.pool.",
    "worker_concurrency": "Set celery.concurrency.",
    "imports": "Set task_modules.",
    "include": "Set task_modules.",
    "task_routes": "Set routes.",
    "task_queues": "Each of our queues has one of Celery's.",
    "task_default_queue": "Each of our queues has one of Celery's.",
    "task_default_priority": "A job's own priority is told.",
    "task_always_eager": 'Set backend = "immediate" in tests.',
    "task_serializer": "Messages are JSON.",
    "beat_schedule": "A message of beat's has no job behind it.",
}
_JSON = ("json", "application/json")
_TRANSPORT = "broker_transport_options"


def _broken_option(name: str, value: object) -> tuple[str, str] | None:
    """Rule and cure for a setting of Celery's that may not be set, or not like this."""
    if name in _CELERY_OURS:
        return "is not to be set for Celery.", _CELERY_OURS[name]
    if name == "accept_content":
        if not isinstance(value, list | tuple) or not set(map(str, value)) <= set(_JSON):
            return (
                'must be ["json"]: pickle would let who reaches the broker run code.',
                "Remove it.",
            )
    elif name == _TRANSPORT and not isinstance(value, Mapping):
        cure = f"Write [default.fastapi_jobs.celery.options.{_TRANSPORT}]."
        return "must be a table.", cure
    return None


def _without_password(settings: Settings) -> Iterator[Clash]:
    for name, user in settings.admin.users.items():
        if not user.password_hash:
            path = ("admin", "users", name)
            cure = f"Make one: fastapi-jobs admin-password {name}."
            yield Clash(
                (dotted((*path, "password_hash")),), (*path, "role"), None, "is missing.", cure
            )


def _without_broker(settings: Settings) -> Iterator[Clash]:
    if settings.celery.broker_url is not None:
        return
    users: dict[KeyPath, str | None] = {("backend",): settings.backend}
    for name, queue in settings.queues.items():
        users["queues", name, "backend"] = queue.backend
    for path, backend in users.items():
        if backend == "celery":
            yield Clash(
                ("celery.broker_url",),
                path,
                None,
                f'{dotted(path)} = "celery" needs a broker.',
                'Set celery.broker_url = "redis://localhost:6379/0", or choose another backend.',
            )
