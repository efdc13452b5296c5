"""Rules that concern more than one key."""

from collections.abc import Iterator
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
    yield from _without_broker(settings)


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
