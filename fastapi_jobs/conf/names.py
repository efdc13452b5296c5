"""The rules of names and places: backends, databases, servers, files, paths, queues."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator

from fastapi_jobs.conf.rules import RuleBroken, is_none, one_of
from fastapi_jobs.errors import did_you_mean

BACKENDS = ("asyncio", "thread", "process", "celery", "immediate")
API_OPTIONS = (
    "queue",
    "priority",
    "run_after",
    "expires",
    "tags",
    "metadata",
    "unique_key",
    "backend",
)
_ARGON2 = re.compile(r"\$argon2(id|i|d)\$v=\d+\$[\w=,]+\$[\w+/]+\$[\w+/]+")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*([.:][^\W\d]\w*)?")


def check_password_hash(value: object) -> str:
    """What `fastapi-jobs admin-password` prints."""
    if not isinstance(value, str) or _ARGON2.fullmatch(value.strip()) is None:
        raise RuleBroken(
            "must be the hash of a password, not the password.",
            "Make one: fastapi-jobs admin-password.",
        )
    return value.strip()


def check_file(value: object) -> Path | None:
    """A file's name, or none."""
    if is_none(value):
        return None
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise RuleBroken('must be the name of a file, or "" for none.')
    return Path(value)


def check_backend(value: object) -> str:
    """One of our backends, or the dotted path of another."""
    if isinstance(value, str) and value.strip().lower() in BACKENDS:
        return value.strip().lower()
    if isinstance(value, str) and is_dotted_path(value):
        return value
    rule = f'must be {one_of(BACKENDS)}, or the path of your own such as "package.module:Class".'
    raise RuleBroken(rule, did_you_mean(str(value).lower(), BACKENDS))


def check_backend_or_none(value: object) -> str | None:
    """A backend, or none."""
    return None if is_none(value) else check_backend(value)


def check_database_url(value: object) -> str:
    """The URL of a SQLite file or of a PostgreSQL database, in the spelling SQLAlchemy wants."""
    text = value.strip() if isinstance(value, str) else ""
    scheme, _, rest = text.partition("://")
    match scheme.lower():
        case "postgres" | "postgresql" | "postgresql+psycopg" if rest:
            return f"postgresql+psycopg://{rest}"
        case "sqlite" if (
            rest.partition("?")[0].strip("/") in ("", ":memory:") or "mode=memory" in rest
        ):
            raise RuleBroken(
                "must name a file: a SQLite database in memory is lost with the process.",
                "Write sqlite:///jobs.db; in tests, a file in a temporary folder.",
            )
        case "sqlite" if rest.startswith("/"):
            return f"sqlite://{rest}"
    raise RuleBroken(
        "must be sqlite:///file or postgresql://user:password@host/database.",
        "Jobs are kept in SQLite or in PostgreSQL (with psycopg) only.",
    )


def broker_url(*schemes: str) -> BeforeValidator:
    """A URL of a server, with one of `schemes` if any are given, or none."""
    rule = (
        f"must begin with {one_of([f'{scheme}://' for scheme in schemes])}"
        if schemes
        else "must be a URL such as redis://host:6379/0"
    )

    def check(value: object) -> str | None:
        if is_none(value):
            return None
        scheme, slashes, rest = str(value).strip().partition("://")
        known = scheme.lower() in schemes if schemes else scheme.replace("+", "").isalnum()
        if not isinstance(value, str) or not slashes or not known or not (rest or not schemes):
            raise RuleBroken(f'{rule}, or be "" for none.')
        return value.strip()

    return BeforeValidator(check)


def check_timezone(value: object) -> str:
    """A name of the IANA time zone database."""
    try:
        return ZoneInfo(str(value).strip()).key
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(str(value), available_timezones())
        raise RuleBroken("must be a time zone such as Europe/Vienna or UTC.", hint) from None


def check_prefix(value: object) -> str:
    """A path under which routes live."""
    if isinstance(value, str) and re.fullmatch(r"(/[^/\s?#{}]+)+", value):
        return value
    near = "/" + str(value).strip("/ ")
    hint = f'Write "{near}".' if isinstance(value, str) and len(near) > 1 else ""
    raise RuleBroken("must begin with / and not end with it.", hint)


def check_paths(value: object) -> tuple[str, ...]:
    """A list of dotted Python paths."""
    names = _list_of_texts(value, '["package.module"]')
    for name in names:
        if not is_dotted_path(name, dots=0):
            raise RuleBroken(f'must list Python paths such as "package.module"; {name!r} is none.')
    return names


def check_api_options(value: object) -> tuple[str, ...]:
    """A list of options of `using(...)` that a request may set."""
    names = _list_of_texts(value, '["run_after", "tags"]')
    for name in names:
        if name not in API_OPTIONS:
            rule = f"may list {one_of(API_OPTIONS)}; {name!r} is none of them."
            raise RuleBroken(rule, did_you_mean(name, API_OPTIONS))
    return names


def check_queue_name(value: object) -> str:
    """A queue's name."""
    if isinstance(value, str) and re.fullmatch(r"[\w.-]{1,100}", value):
        return value
    raise RuleBroken("a queue's name has 1 to 100 letters, digits, dots, dashes or underscores.")


def check_pattern(value: object) -> str:
    """A pattern of task names."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise RuleBroken('a route begins with a pattern of task names such as "billing.*".')


def is_dotted_path(text: str, dots: int = 1) -> bool:
    """True for `package.module:name` and the like, with at least `dots` dots or colons."""
    enough = text.count(".") + text.count(":") >= dots
    return enough and _DOTTED.fullmatch(text) is not None


def _list_of_texts(value: object, example: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise RuleBroken("must be a list of texts.", f"Write {example}.")
    return tuple(value)
