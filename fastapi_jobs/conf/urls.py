"""URLs in the settings: their passwords, their spelling, and what a relative one is relative to."""

import re
from pathlib import Path

_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):.*@")
_SECRET_PARAMETER = re.compile(r"([?&;][^=&;\s]*(?:pass|pwd|secret|token)[^=&;\s]*=)[^&;\s]+", re.I)
_HASH = re.compile(r"\$argon2\w*\$[\w=,$+/]+")
_SQLITE_FILE = re.compile(r"sqlite:///(?!/|:memory:|file:)(?P<file>[^?]+)(?P<query>\?.*)?", re.S)


def hide_password(text: str) -> str:
    """`text` with the password of every URL in it, and every password's hash, as `***`."""
    # A password may hold an unquoted "@" or "/", so everything up to the last "@" goes.
    without = _HASH.sub("***", _PASSWORD.sub(r"\1:***@", text))
    return _SECRET_PARAMETER.sub(r"\1***", without)


def anchor_database(url: str, folder: Path) -> str:
    """A relative SQLite URL made absolute from `folder`; any other URL as it is."""
    found = _SQLITE_FILE.fullmatch(url.strip())
    if found is None:
        return url
    return f"sqlite:///{(folder / found['file']).absolute()}{found['query'] or ''}"


def anchor_file(name: str, folder: Path) -> str:
    """A relative file name made absolute from `folder`; an empty one as it is."""
    return str((folder / name).absolute()) if name.strip() else name
