"""What a router refuses to be made with: a prefix that is none, and nobody who guards it."""

import logging

from fastapi_jobs.api.access import Access
from fastapi_jobs.conf import Settings
from fastapi_jobs.errors import InvalidOption, SettingsError, SettingsProblem

logger = logging.getLogger("fastapi_jobs")

OPEN_ENVIRONMENTS = ("development", "testing")


def checked_prefix(prefix: str) -> str:
    """A path, or nothing for a router that the host includes under a prefix of its own.

    Raises:
        InvalidOption
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        near = "/" + prefix.strip("/")
        rule = f"a prefix begins with '/' and does not end with it, such as {near!r}."
        raise InvalidOption("prefix", prefix, rule)
    return prefix


def refuse_unguarded(access: Access) -> None:
    """Without a permission hook anybody may do anything: only where nobody else is.

    Raises:
        SettingsError
    """
    settings = access.runtime.settings
    if access.permission is not None or settings.api_open or settings.environment == "testing":
        return
    if settings.environment in OPEN_ENVIRONMENTS:
        logger.warning(
            "the HTTP API of %s has no permission hook: whoever reaches it may do anything. "
            "It starts like this only in %s.",
            access.runtime.name,
            " and ".join(OPEN_ENVIRONMENTS),
        )
        return
    raise SettingsError([_unguarded(settings)])


def _unguarded(settings: Settings) -> SettingsProblem:
    return SettingsProblem(
        "api_open",
        settings.origins.get("api_open", "defaults"),
        "false",
        f"in environment {settings.environment!r} the HTTP API needs a permission hook.",
        "Pass one, jobs.init_app(app, permission=...); or leave the API out, api=False; "
        "or let everybody in, api_open = true.",
    )
