"""The Redis by which processes tell each other of commits."""

from collections.abc import Iterator

from fastapi_jobs.checks.findings import Finding, ok, warning
from fastapi_jobs.conf import Settings
from fastapi_jobs.store.store import redis_hints_of


def examine_redis(settings: Settings) -> Iterator[Finding]:
    """Does it answer? Everything works without it, later."""
    redis = redis_hints_of(settings)
    if redis is None:
        return
    trouble = redis.ask()
    if trouble is None:
        yield ok("redis", f"The Redis {redis.name} answers.")
        return
    origin = settings.origins.get("redis_url", "settings")
    yield warning(
        "redis",
        f"The Redis {redis.name} does not answer: {trouble.rstrip('.')}. Does it run, and is "
        f"redis_url right? It comes from {origin}. Until it answers, processes hear of each "
        f"other's jobs by looking, every {settings.poll_seconds:g} s (poll_seconds), and of "
        f"cancelled ones every {settings.heartbeat_seconds:g} s (heartbeat_seconds).",
    )
